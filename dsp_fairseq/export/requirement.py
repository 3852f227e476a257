"""Checks that CTranslate2 is installed and new enough; only the export needs it."""

from inspect import signature

from ..errors import BadInput


def require_ctranslate2() -> None:
    """Raise BadInput with the pip command to run when CTranslate2 is missing or too old."""
    try:
        import ctranslate2
        from ctranslate2.specs.attention_spec import MultiHeadAttentionSpec
    except ImportError as error:
        raise BadInput(f"CTranslate2 cannot be imported ({error}); run: pip install ctranslate2") from error
    if "head_dim" not in signature(MultiHeadAttentionSpec.__init__).parameters:  # added between 4.0 and 4.4
        raise BadInput(
            f"CTranslate2 {ctranslate2.__version__}: cannot express pruned heads; run: pip install -U ctranslate2"
        )
