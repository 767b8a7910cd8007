"""The two-layer edge network as a Flax NNX module: crossbar, spiking hidden layer, crossbar, integrating readout.

A sample x in [0, 1] is presented for T time steps (`encoding`). With w = (g+ - g-) / (g_max - g_min) in [-1, 1]:

    hidden   u_t = sum_i x_ti w1_ij + read noise;    LIF spikes h_tj (`neurons`)
    readout  leaky integrators o_t = leak o_{t-1} + sum_j h_tj w2_jk + read noise;    y = mean_t o_t

The readout is linear, so y = hbar . w2 with hbar_j = sum_t c_t h_tj, c_t = (1/T) sum_{s >= t} leak^(s - t): one product
instead of T, and read noise of the same variance. Learning is local, online, batch size 1, both layers in situ, with
the error e = softmax(gain y) - target:

    dw2_jk = -eta hbar_j e_k                                   delta rule
    dw1_ij = -eta L_j psi_j xbar_i,  L_j = sum_k w2_jk e_k     three-factor rule

where psi is the mean surrogate derivative and xbar the mean input over the steps. The error comes back through the
second array itself (feedback "symmetric": L as above) or a fixed random matrix ("random"). A programmer turns dw into
pulses. The rule "error_driven" is the modular framework's: it changes the second array alone.

`nnx.split(net, Weight, Sampled, Volatile, ...)` gives trained weights (the programmed state of the devices), sampled
device parameters (what makes a chip that chip) and volatile state (accumulators) as separate pytrees.
"""

from memjax.network._arrays import sample_array, warmed
from memjax.network._described import Architecture, Chip, Physics
from memjax.network._edge import ENCODINGS, FEEDBACK, RULES, Activity, EdgeNetwork, functional
from memjax.network._layer import Cached, Layer, Sampled, Volatile, Weight

__all__ = [
    "ENCODINGS",
    "FEEDBACK",
    "RULES",
    "Activity",
    "Architecture",
    "Cached",
    "Chip",
    "EdgeNetwork",
    "Layer",
    "Physics",
    "Sampled",
    "Volatile",
    "Weight",
    "functional",
    "sample_array",
    "warmed",
]
