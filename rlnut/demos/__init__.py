"""The chapters of the lecture, a file each: `rlnut demo NAME`. Importing this is cheap; a chapter comes in when run."""

CHAPTERS = {  # name -> its line in the list
    "ohm": "linear regression: a resistance from noisy currents and voltages, exactly and by gradient descent",
    "overfitting": "training and test error against degree; what ridge and lasso do about it; sparsity",
    "descent": "overfitting against steps of gradient descent; early stopping on validation rows",
    "penalties": "the diamond and the disc: why the L1 penalty gives exact zeros and the L2 penalty does not",
    "perceptron": "the step function, learning from mistakes, Novikoff's bound, and why it fails near s = 0",
    "logistic": "the energy gap of a two-state thermal system from samples, with its error bar",
    "kl": "cross-entropy and Kullback-Leibler divergence: a constant apart, least at the truth",
    "boltzmann": "M states in a heat bath: softmax and one-hot labels; Fermi-Dirac, the sigmoid of physics",
    "softmax": "ten digits, and the template θ_m of each as a picture",
    "neurons": "networks as graphs: nodes, layers, shapes; activation functions; deep linear networks are linear",
    "hand_made": "features chosen by hand beside features that a network learns, on two laws",
    "universal": "width of a hidden layer against error; XOR, which one layer cannot learn",
    "backprop": "the written-out backward pass, jax.grad and finite differences; slopes that fade with depth",
    "strides": "stride and pooling index by index; the layers of LeNet-5 with shapes and numbers of weights",
    "convolution": "the lecture's filters over a signal; filters learned from digits, and their feature maps",
    "recurrent": "RNN against LSTM: how long they remember",
    "forecast": "a time series: next year's sunspot number by a recurrent network, against simple forecasts",
    "residual": "depth against training error, with and without skip connections",
    "bellman": "the bridge to reinforcement learning: the same regression, y from the Bellman equation",
    "bridge": "Q_π by a network in a Gymnasium environment; the lecture's Bellman error worked out for one transition",
    "jax": "grad, jit, vmap, scan and keys, each on a function of this library",
}
DIGITS: tuple[str, ...] = ("softmax", "convolution")  # chapters that read MNIST: --full and --data mean something
