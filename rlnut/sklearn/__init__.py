"""scikit-learn estimators over rlnut's models, for Pipeline, GridSearchCV and clone: needs the extra `rlnut[sklearn]`.

`linear` has the linear models, `networks` the networks. Nothing else of rlnut imports this package; it imports
`rlnut.linear_models`, `rlnut.supervised` and what stands below them.
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
