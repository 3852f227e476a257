from .errors import BadCheckpoint, CannotRead, WrongUse, shown, unfit_is_bad  # noqa: F401
