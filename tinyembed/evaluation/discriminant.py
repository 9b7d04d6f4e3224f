"""A linear discriminant with automatic shrinkage: a classifier for few rows of many numbers.

A linear discriminant takes the classes for normal distributions with means m_c and one common
covariance matrix S. The log-probability of class c, given a row x, is then linear in x:

    log P(c | x) = x S^-1 m_c - m_c S^-1 m_c / 2 + log P(c) + terms that all classes share

300 pieces do not determine the covariance of 200 numbers, and their sample covariance may have no
inverse. Ledoit and Wolf (2004), "A well-conditioned estimator for large-dimensional covariance
matrices", Journal of Multivariate Analysis 88, mix it with a multiple of the identity, and estimate
from the rows themselves the mixture that is closest to the true covariance.

The results are those of scikit-learn's `LinearDiscriminantAnalysis(solver="lsqr",
shrinkage="auto")`.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lstsq
from scipy.special import log_softmax


@dataclass(frozen=True)
class Discriminant:
    """classes: (C,), sorted; coefficients: (D, C), S^-1 m_c; intercepts: (C,), the other terms."""

    classes: np.ndarray
    coefficients: np.ndarray
    intercepts: np.ndarray

    @classmethod
    def fit(cls, rows, labels):
        """rows: (N, D) finite numbers; labels: (N,), the class of each row.

        A class is as probable as it is frequent among the rows.
        """
        rows, labels = np.asarray(rows, np.float64), np.asarray(labels)
        classes, counts = np.unique(labels, return_counts=True)
        priors = counts / counts.sum()  # (C,)
        groups = [rows[labels == label] for label in classes]
        means = np.stack([group.mean(axis=0) for group in groups])  # (C, D)
        weighted = zip(priors, groups, strict=True)
        covariance = sum(prior * class_covariance(group) for prior, group in weighted)  # (D, D)
        # The least squares solution of the smallest norm exists for a singular matrix too.
        coefficients = lstsq(covariance, means.T)[0]  # (D, C)
        intercepts = np.log(priors) - (means * coefficients.T).sum(axis=1) / 2  # (C,)
        return cls(classes, coefficients, intercepts)

    def decision_values(self, rows):
        """Log-probabilities, except for a number that is the same for all classes: (N, C)."""
        return np.asarray(rows, np.float64) @ self.coefficients + self.intercepts

    def log_probabilities(self, rows):
        """log P(class | row): (N, C)."""
        return log_softmax(self.decision_values(rows), axis=1)

    def predict(self, rows):
        """The most probable class of each row: (N,)."""
        return self.classes[self.decision_values(rows).argmax(axis=1)]


def class_covariance(rows):
    """The shrunk covariance of the rows of one class, (N, D) float64: (D, D).

    Shrinking makes the variances more alike, so the numbers are standardized first and scaled back
    afterwards. A number that is the same in all rows keeps its scale.
    """
    constant = rows.max(axis=0) == rows.min(axis=0)
    scale = np.where(constant, 1.0, rows.std(axis=0))  # (D,)
    covariance, _ = ledoit_wolf((rows - rows.mean(axis=0)) / scale)
    return covariance * np.outer(scale, scale)


def ledoit_wolf(x):
    """The covariance of centred rows, shrunk as their own spread suggests.

    x: (N, D) float64, of mean 0. Returns (1 - a) S + a m I, (D, D), and the shrinkage a, 0 to 1.
    S is the sample covariance and m the mean of its diagonal. In the paper's terms, with the norm
    |A|^2 = sum of A_ij^2 / D:

        a = b^2 / d^2,  d^2 = |S - m I|^2,  b^2 = min(d^2, sum over n of |x_n x_n^T - S|^2 / N^2)

    d^2 is the distance of S from the identity's multiple, b^2 the part of it that is chance.
    """
    n, size = x.shape
    s = x.T @ x / n  # (D, D)
    m = np.trace(s) / size
    d2 = (s * s).sum() / size - m * m
    # |x x^T - S|^2 summed over the rows: the cross terms add up to -2 N |S|^2.
    fourth = (x * x).sum(axis=1)  # |x_n|^2, whose square is the sum of (x_n x_n^T)_ij^2
    b2 = ((fourth @ fourth) / n - (s * s).sum()) / (n * size)
    shrinkage = min(b2, d2) / d2 if min(b2, d2) > 0 else 0.0
    return (1 - shrinkage) * s + shrinkage * m * np.eye(size), shrinkage
