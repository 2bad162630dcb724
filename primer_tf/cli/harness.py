"""The model that `lm_eval --model primer` runs, by its `--model_args`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from primer_tf.cli.load import load_causal_lm, load_checkpoint
from primer_tf.errors import UserError
from primer_tf.evaluation.harness_model import HarnessModel
from primer_tf.training.config import COUNT

if TYPE_CHECKING:
    from keras_hub.models import CausalLM


class PrimerHarnessModel(HarnessModel):
    """A preset, or a checkpoint of the T5 codebase, as a model of lm-eval.

    Args:
        pretrained: A preset directory, the folder of a run, or a preset of any of KerasHub's causal
            language models.
        model_dir: Folder of a checkpoint of the T5 codebase, in place of `pretrained`.
        gin_file: Gin file, or several, that describes the model in `model_dir`. Defaults to its
            `operative_config.gin`.
        vocabulary: SentencePiece model of `model_dir`. Defaults to the one that the gin files name.
        batch_size: Number of texts that run together. Defaults to 16, for which lm-eval's "auto"
            stands, too.
        max_length: Number of tokens that the model sees. Defaults to the model's own.
        add_start_token: Whether texts begin with the start token. Defaults to what the preprocessor
            does.
        device: Nothing; lm-eval passes it, and Keras chooses.
        max_batch_size: Nothing; lm-eval may pass it.

    Raises:
        UserError: The model cannot be loaded, or both or none of `pretrained` and `model_dir` are
            given.
    """

    def __init__(
        self,
        pretrained: str | None = None,
        model_dir: str | None = None,
        gin_file: str | Sequence[str] = (),
        vocabulary: str | None = None,
        batch_size: int | str = 16,
        max_length: int | None = None,
        add_start_token: bool | None = None,
        device: str | None = None,
        max_batch_size: int | None = None,
    ) -> None:
        if (pretrained is None) == (model_dir is None):
            raise UserError("Give pretrained or model_dir in model_args, and not both.")
        batch_size = 16 if batch_size == "auto" else int(batch_size)
        COUNT.check(batch_size, "batch_size")
        model: CausalLM
        if pretrained is not None:
            model = load_causal_lm(str(pretrained))
        else:
            gin_files = [gin_file] if isinstance(gin_file, str) else gin_file
            model = load_checkpoint(str(model_dir), gin_files, vocabulary=vocabulary)
        super().__init__(model, batch_size, max_length, add_start_token)
