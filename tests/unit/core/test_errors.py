"""core.errors: one tree, stable codes, drawn in its docstring."""

from cybercorp.core import errors


def test_codes_are_unique_and_the_docstring_draws_every_class() -> None:
    """Scripts rely on codes; readers rely on the drawing."""
    classes = errors.error_classes()
    names = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert {one.__name__ for one in classes.values()} == names
    for name in names:
        assert name in (errors.__doc__ or "")


def test_an_error_reads_as_what_happened_and_what_to_do() -> None:
    """`str()` is the message followed by the hint; a code can be narrower than its class."""
    error = errors.NotFoundError("There is no host 'web'.", hint="Did you mean 'web-1'?", code="host_not_found")
    assert str(error) == "There is no host 'web'. Did you mean 'web-1'?"
    assert error.error_code == "host_not_found"
