"""What the operator has to put right."""


class OperatorError(Exception):
    """A failure that the person at the command line can mend.

    Its message is one sentence that says what is wrong and what to do, without any secret; the
    command prints it and exits with 1, with no traceback.
    """


class SettingsError(OperatorError):
    """A setting is missing, misspelt or outside its range."""


class BrokerError(OperatorError):
    """The broker cannot be reached, refuses us, or lacks a topic."""
