"""What an exception still knows: the exceptions it was raised for, and the variables of the functions it left."""


def chain(error):
    """The exception and those that it was raised for."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def frames(error):
    """Frames of the traceback, the outermost first."""
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
    """Value of a local variable where the exception was raised, or in the innermost frame of `function`.

    fairseq's messages do not say what was given; its variables do.
    """
    found = [frame for frame in frames(error) if function in (None, frame.f_code.co_name)]
    return found[-1].f_locals.get(name, default) if found else default
