"""scikit-learn estimators over rlnut's models, for Pipeline, GridSearchCV and clone: needs the extra `rlnut[sklearn]`.

`linear` has the linear models, `networks` the networks. Nothing else of rlnut imports this package; it imports
`rlnut.linear_models`, `rlnut.supervised` and what stands below them.

Parameters have scikit-learn's names and meanings; those that are there are honoured, others are not offered:

- all: sparse X is used as a dense array, if that fits into the memory; a row of `sample_weight` 2 counts as two rows
  (for the perceptron: two in a row, in file order); float32 X gives float32 predictions. `random_state=0` by default:
  the same answer each time; None draws from NumPy's global generator, as scikit-learn's default does.
- LinearRegression, Ridge, Lasso, ElasticNet: `positive`. Not offered: `solver`, `tol`, `max_iter`, `selection`,
  `precompute`, `warm_start` (each is solved to its minimum, so a start would change nothing), `copy_X`, `n_jobs`.
- LogisticRegression: `class_weight`, `tol` (of the gradient's norm) and `max_iter` (of Newton steps); it warns where
  they end it. Not offered: `penalty`, `l1_ratio` (L2 only), `solver`, `dual`, `warm_start`, `n_jobs`.
- Perceptron: `partial_fit`, `warm_start`, `tol`, `n_iter_no_change`, `average` (as in SGDClassifier;
  the default None: where no epoch was without a mistake). Not offered:
  `penalty`, `alpha`, `eta0`, `class_weight`, `early_stopping`.
- MLPClassifier, MLPRegressor: `partial_fit`, `warm_start`, `tol`, `n_iter_no_change`, `early_stopping` (by the cost of
  the validation rows). X is standardised inside. `solver` is one of `rlnut.choices.OPTIMIZERS`, of which adam and sgd
  (without momentum: that is `momentum` or `nesterov`) are scikit-learn's. Not offered: lbfgs, `learning_rate`,
  `momentum`, `shuffle`, `beta_1`, `beta_2`, `epsilon`, `max_fun`, `loss`. A copy by pickle keeps the weights; the
  optimiser's state begins anew.
- NetworkClassifier, NetworkRegressor: any model of `rlnut fit`; a network that is your own function can be
  pickled if that function can.
"""

from rlnut.errors import RlnutError

try:
    import sklearn.utils.validation  # noqa: F401
except ImportError as error:
    raise RlnutError('rlnut.sklearn needs scikit-learn 1.6 or later: pip install "rlnut[sklearn]"') from error

from rlnut.sklearn.linear import ElasticNet as ElasticNet
from rlnut.sklearn.linear import Lasso as Lasso
from rlnut.sklearn.linear import LinearRegression as LinearRegression
from rlnut.sklearn.linear import LogisticRegression as LogisticRegression
from rlnut.sklearn.linear import Perceptron as Perceptron
from rlnut.sklearn.linear import Ridge as Ridge
from rlnut.sklearn.networks import MLPClassifier as MLPClassifier
from rlnut.sklearn.networks import MLPRegressor as MLPRegressor
from rlnut.sklearn.networks import NetworkClassifier as NetworkClassifier
from rlnut.sklearn.networks import NetworkRegressor as NetworkRegressor
