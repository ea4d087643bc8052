"""Letters for reading and typing."""

from cybercorp.security.codes import ALPHABET, random_letters


def test_letters_are_random_and_not_mistaken() -> None:
    """Of all letters none is like another one, and no two codes are alike."""
    assert not set("il1o0") & set(ALPHABET)
    made = {random_letters(8) for _ in range(1000)}
    assert len(made) == 1000
    assert set("".join(made)) == set(ALPHABET)
