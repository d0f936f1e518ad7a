"""bertie: fine-tune BERT text classifiers on CPUs, and ask them.

    import bertie
    spam = bertie.Classifier.train("mail.csv", output="spam-filter")
    spam.predict(["You have won a prize", "See you at noon"])

Classifier.from_pretrained takes what `bertie serve` takes: a model's folder, its .tar.gz, a TorchScript
archive, or a name on the hub. The program itself is in the package too: `python -m bertie --help`.
"""

from ._core import Error, __version__
from .classifier import Classifier, Prediction

__all__ = ["Classifier", "Error", "Prediction", "__version__"]
