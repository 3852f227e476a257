"""How important every unit of a converged model is, and which units are left when the others are removed.

``gradient.py`` has the importance of Michel et al., ``weights.py`` two that need no data, ``ranking.py`` the
removal, once or step by step; ``run.py`` puts them together.
"""

GRADIENT, MAGNITUDE, RANDOM = "gradient", "magnitude", "random"
SCORES = (GRADIENT, MAGNITUDE, RANDOM)
BLOCK, NONE = "block", "none"
NORMALISATIONS = (BLOCK, NONE)
