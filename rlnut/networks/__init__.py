"""Approximators g_θ: layers, and the networks composed of them. The network that classifies digits is the one inside Q.

`layers` composes (`serial`); `architectures` has linear, MLP, CNN and LeNet; `convolution`, `residual_networks`,
`recurrent_networks` what images and sequences need; `heads` what value functions put last; `backpropagation` the
backward pass written out. Imports `rlnut.types`, `rlnut.errors` and `rlnut.choices` only.
"""

from rlnut.networks.architectures import cnn as cnn
from rlnut.networks.architectures import filters as filters
from rlnut.networks.architectures import lenet as lenet
from rlnut.networks.architectures import linear as linear
from rlnut.networks.architectures import mlp as mlp
from rlnut.networks.architectures import trunk as trunk
from rlnut.networks.architectures import with_channels as with_channels
from rlnut.networks.convolution import conv as conv
from rlnut.networks.convolution import convolve as convolve
from rlnut.networks.convolution import group_norm as group_norm
from rlnut.networks.convolution import pool as pool
from rlnut.networks.heads import dueling as dueling
from rlnut.networks.heads import implicit as implicit
from rlnut.networks.layers import ACTIVATIONS as ACTIVATIONS
from rlnut.networks.layers import INITIALIZERS as INITIALIZERS
from rlnut.networks.layers import activation as activation
from rlnut.networks.layers import dense as dense
from rlnut.networks.layers import dropout as dropout
from rlnut.networks.layers import flatten as flatten
from rlnut.networks.layers import function as function
from rlnut.networks.layers import head as head
from rlnut.networks.layers import layer_norm as layer_norm
from rlnut.networks.layers import noisy_dense as noisy_dense
from rlnut.networks.layers import one_hot_layer as one_hot_layer
from rlnut.networks.layers import parameter_count as parameter_count
from rlnut.networks.layers import serial as serial
from rlnut.networks.layers import unit_scale as unit_scale
from rlnut.networks.recurrent_networks import Cell as Cell
from rlnut.networks.recurrent_networks import gru as gru
from rlnut.networks.recurrent_networks import lstm as lstm
from rlnut.networks.recurrent_networks import reader as reader
from rlnut.networks.recurrent_networks import recurrent as recurrent
from rlnut.networks.recurrent_networks import rnn as rnn
from rlnut.networks.recurrent_networks import scan as scan
from rlnut.networks.residual_networks import impala as impala
from rlnut.networks.residual_networks import residual as residual
from rlnut.networks.residual_networks import resnet as resnet
