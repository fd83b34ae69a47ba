"""The core: one regression of g_θ(x) onto y, for labels and for Bellman targets alike.

`core` is `regression(model, loss, optimizer, penalty, output_penalty)`, `losses` are its ℓ and penalties, `optimizers`
its steps. Imports `rlnut.types` only.
"""

from rlnut.regression.core import Regression as Regression
from rlnut.regression.core import regression as regression
from rlnut.regression.core import select as select
from rlnut.regression.losses import binary_cross_entropy as binary_cross_entropy
from rlnut.regression.losses import cross_entropy as cross_entropy
from rlnut.regression.losses import huber as huber
from rlnut.regression.losses import l1 as l1
from rlnut.regression.losses import l2 as l2
from rlnut.regression.losses import quantile_huber as quantile_huber
from rlnut.regression.losses import smoothed as smoothed
from rlnut.regression.losses import squared as squared
from rlnut.regression.optimizers import optimizer as optimizer
