"""Words in messages."""


def one_line(said: object, most: int = 200) -> str:
    """What a file or a library says as a part of a line: no line ends, nothing that does not print, cut after `most`."""
    text = " ".join(str(said)[: 2 * most].split())[:most]
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
