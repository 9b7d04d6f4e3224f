"""The LSTM's step block by block, on several threads."""

from tinyembed.backends.cpu.blocks import in_blocks


def lstm_step(plain, from_x, from_h, bias, *arrays):
    def work(rows):
        plain(from_x[rows], from_h[rows], bias, *[a[rows] for a in arrays])

    in_blocks(work, from_x)


def lstm_step_backward(plain, *arrays):
    in_blocks(lambda rows: plain(*[a[rows] for a in arrays]), arrays[0])
