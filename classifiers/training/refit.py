"""Fits the layer that names a request's category anew, on what the finished encoder makes of every labelled request.

The joint training stops that layer where all heads are served best on average. Fitting a last layer again on features
that are already there is cheap and often better where classes are unequal (Kang et al. 2020, "Decoupling
Representation and Classifier for Long-Tailed Recognition"; Kirichenko et al. 2023, "Last Layer Re-Training is
Sufficient for Robustness to Spurious Correlations").
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from alignwatch import CATEGORIES
from classifiers.errors import ClassifierError

Floats = npt.NDArray[np.float32]
PENALTY = 1000.0
"""Weight of half the squared coefficients of standardised features, beside the losses of some 12,000 requests."""


def category_layer(features: Floats, kinds: npt.NDArray[np.int64], trust: Floats) -> tuple[Floats, Floats]:
    """Multinomial logistic regression as one linear layer over the features as they are.

    Args:
        features: (n, d), what the layer will read.
        kinds: (n,) index of each request's category.
        trust: (n,) weight of each label.

    Returns:
        Weights (14, d) and biases (14,).

    Raises:
        ClassifierError: a category has no request, so nothing could be learned of it.
    """
    if missing := [name for i, name in enumerate(CATEGORIES) if i not in kinds]:
        raise ClassifierError(f"category layer: no labelled request of {missing}; each of the 14 needs some")
    centre, spread = features.mean(0), features.std(0) + 1e-6
    model = LogisticRegression(C=1.0 / PENALTY, max_iter=500)
    model.fit((features - centre) / spread, kinds, sample_weight=trust)
    weights = model.coef_ / spread
    return weights.astype(np.float32), (model.intercept_ - weights @ centre).astype(np.float32)
