from anymax.softmaxes.exponential.softmax import log_softmax as log_softmax
from anymax.softmaxes.exponential.softmax import logsumexp as logsumexp
from anymax.softmaxes.exponential.softmax import softmax as softmax
from anymax.softmaxes.exponential.softmax import softmin as softmin
