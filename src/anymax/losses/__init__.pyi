from anymax.losses.classification.cross_entropy import cross_entropy as cross_entropy
