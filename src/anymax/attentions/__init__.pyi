from anymax.attentions.dense.dot_product import attention_weights as attention_weights
from anymax.attentions.dense.dot_product import dot_product_attention as dot_product_attention
from anymax.attentions.dense.relu import relu_attention as relu_attention
from anymax.attentions.dense.sigmoid import sigmoid_attention as sigmoid_attention
