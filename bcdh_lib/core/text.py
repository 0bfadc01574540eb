"""Text for messages."""


def one_line(said: object, most: int = 200) -> str:
    """Text from a file or a library as part of one line: no line breaks, only printable characters, at most `most` of them."""
    text = " ".join(str(said)[: 2 * most].split())[:most]
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
