"""The patch layer: one crossbar of filters shared by all positions of an image, learned in place by competition.

A patch p [d] of raw pixels in [0, 1], d = size^2 channels, has the mean m and the contrast s = sqrt(var p + floor^2).
With the projection P = I - 1 1'/d and a symmetric whitening W = (C + epsilon)^(-1/2) P, where C is the mean of n n'
over training patches, in units of the mean of its diagonal:

    n = P p / s     normalised          z = W n     whitened          u_k = w_k . z     response of filter w_k

All of this but s is linear, and so is folded into the filters. With f_k = W w_k,

    u_k = w_k . W P p / s = f_k . (p - m 1) / s = (f_k . p - m f_k . 1) / s

so an array that holds gain f_k is driven by the raw pixels themselves: voltages are never negative, and a zero pixel
costs nothing. What is left to the digital side is to subtract m times the column's sum f_k . 1 and to divide by s. The
sum is read from the array (all word lines at full scale): stuck and inexact devices are in it as they are.

That is `drive` "raw". Its price is read noise: it grows with the voltages, as sigma sqrt(2 sum p^2), and is divided by
s with the response, so that a patch of little contrast on a bright ground is read badly (CIFAR-10 at sigma = 2 %: with
half as much noise as responses differ by). With drive "normalised" the digital side works out n before the read and the
word lines get that, in both signs: u = gain f_k . n. The noise is sigma sqrt(2 d) whatever the light, no column sums
are needed, and every pixel of a patch that is not of one colour costs its reads.

The array that is read is the array that learns. Competitive learning of w on whitened patches of unit length,
dw_j = eta (z / |z| - w_j) for the winner j, reads in the coordinates of f = W w

    df_j = eta (W z / |z| - f_j)

which is the same rule with the input W z / |z|: no other copy of the filters is kept. For each image, the raw pixels of
its random patches are read through the array, and the responses decide who wins (`learn`); the winners' own devices are
read (`verify` events); and the programmer turns eta (gain W z / |z| - gain f_j) into pulses, once an image.

    in the array    gain f_k, a differential pair a weight
    digital         m, s, W z / |z| of the patches that are learned from, column sums, the filters' record of wins;
                    then thresholds, pooling, square root
    events          the read of every patch (`mac`, `read`), the winners' weights (`verify`), pulses and accumulations

Between this array and the next, filters inhibit each other, a_k = relu(u_k - mean u - theta sd u), and drive integrate-
and-fire neurons; their spikes are summed over the cells of a grid; x = sqrt(sum / running mean of the sums) goes on.

Whitened patches, k-means as their learner, and pooling: A. Coates, A. Ng, H. Lee, AISTATS 2011 (PMLR 15, 215).
Competition: D. Rumelhart, D. Zipser, Cognitive Science 9, 75 (1985); a handicap for who wins too often ("conscience"):
D. DeSieno, IEEE ICNN 1988.
"""

from memjax.patches._geometry import Geometry
from memjax.patches._images import cut, draw
from memjax.patches._layer import (
    Constants,
    Filters,
    Layer,
    calibrate,
    compete,
    create,
    features,
    forward_events,
    learn,
    learn_filters,
    respond,
)
from memjax.patches._neurons import CODES, fire, first_spike, inhibit, pool, scaled, spike_count, update_mean
from memjax.patches._whitening import Front, fold, moments, normalise, targets, unfold, whitening

__all__ = [
    "CODES",
    "Constants",
    "Filters",
    "Front",
    "Geometry",
    "Layer",
    "calibrate",
    "compete",
    "create",
    "cut",
    "draw",
    "features",
    "fire",
    "first_spike",
    "fold",
    "forward_events",
    "inhibit",
    "learn",
    "learn_filters",
    "moments",
    "normalise",
    "pool",
    "respond",
    "scaled",
    "spike_count",
    "targets",
    "unfold",
    "update_mean",
    "whitening",
]
