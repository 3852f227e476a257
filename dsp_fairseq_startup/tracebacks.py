"""Reads the causes of an exception, and the local variables of the functions in its traceback."""


def chain(error):
    """The exception, then its cause, the cause of the cause and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def frames(error):
    """The frames of the traceback, the outermost first."""
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def last_frame(error):
    return list(frames(error))[-1]


def raised_in(error, function):
    return any(frame.f_code.co_name == function for frame in frames(error))


def module_of(frame):
    return frame.f_globals.get("__name__", "")


def variable(error, name, default, function=None):
    """The value of a local variable where the exception was raised, or in the innermost frame of `function`.

    Without such a frame or variable it is `default`. Our messages need it because those of fairseq often do not say
    what was given.
    """
    found = [frame for frame in frames(error) if function in (None, frame.f_code.co_name)]
    return found[-1].f_locals.get(name, default) if found else default
