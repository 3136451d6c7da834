"""What of a source counts as its code: all that it does, and neither its words nor its layout."""

import ast

import pytest

from gaard.syntax import code_text, function_lines

SOURCE = '''"""A reward of mine."""
LIMIT = 3

def helped(text):
    return len(text)

def score(completions, scale=1.0):
    """Long texts."""
    return [scale * min(LIMIT, helped(text)) for text in completions]

class Mine:
    """Holds nothing."""
    words = ["a", "b"]
    def __call__(self, completions):
        return [0.0 for text in completions]
'''
SAME = {
    "a comment": SOURCE.replace("LIMIT = 3", "# the most\nLIMIT = 3  # words"),
    "blank lines": "\n" + SOURCE.replace("\n\n", "\n\n\n\n"),
    "other docstrings": SOURCE.replace("A reward of mine.", "Of mine.").replace("Long texts.", "Longer\n\n    ones."),
    "no docstrings": SOURCE.replace('    """Long texts."""\n', "").replace('"""A reward of mine."""\n', ""),
    "other quotes": SOURCE.replace('"a"', "'a'"),
    "a line that is wrapped": SOURCE.replace('["a", "b"]', '[\n        "a",\n        "b",\n    ]'),
    "parentheses": SOURCE.replace("len(text)", "(len(text))"),
    "wider indents": SOURCE.replace("    return len(text)", "        return len(text)"),
    "line ends of Windows": SOURCE.replace("\n", "\r\n"),
    "a byte order mark": SOURCE.encode("utf-8-sig"),
}
OTHER = {
    "a number": SOURCE.replace("LIMIT = 3", "LIMIT = 4"),
    "a number's type": SOURCE.replace("LIMIT = 3", "LIMIT = 3.0"),
    "a truth for a number": SOURCE.replace("LIMIT = 3", "LIMIT = True"),
    "nothing for a number": SOURCE.replace("LIMIT = 3", "LIMIT = None"),
    "a text": SOURCE.replace('"a"', '"c"'),
    "a text for bytes": SOURCE.replace('"a"', 'b"a"'),
    "a default": SOURCE.replace("scale=1.0", "scale=2.0"),
    "a name": SOURCE.replace("min", "max"),
    "an operator": SOURCE.replace("scale *", "scale +"),
    "the order": SOURCE.replace('["a", "b"]', '["b", "a"]'),
    "a statement more": SOURCE + "LIMIT += 1\n",
    "a decorator": SOURCE.replace("def helped", "@print\ndef helped"),
    "a text in the middle": SOURCE.replace("LIMIT = 3", 'LIMIT = "3"'),
}


@pytest.mark.parametrize("source", SAME.values(), ids=SAME)
def test_words_and_layout_change_no_code(source):
    assert code_text(source) == code_text(SOURCE)


@pytest.mark.parametrize("source", OTHER.values(), ids=OTHER)
def test_what_it_does_changes_its_code(source):
    assert code_text(source) != code_text(SOURCE)


def test_a_docstring_that_the_source_reads_is_code():
    one = 'def score(completions):\n    """Be kind."""\n    return ask(score.__doc__)\n'
    assert code_text(one) != code_text(one.replace("kind", "rude"))


def test_a_part_of_a_file_counts_by_itself():
    """A method is indented; a lambda within brackets is no statement, and counts as it stands."""
    method = "    def score(self):\n        return 1  # one\n"
    assert code_text(method) == code_text(method.replace("  # one", ""))
    part = '    "a": lambda text: 1,'
    assert code_text(part) == part
    assert code_text(part) != code_text(part.replace("1", "2"))


def test_a_long_sum_is_no_trouble():
    long = "LIMIT = " + " + ".join(["1"] * 800)
    ast.parse(long)
    assert code_text(long) != code_text(long + " + 1")


def test_where_functions_begin_as_python_counts_it():
    source = "@print\n@len\ndef a(): pass\n\nb = lambda: [lambda: 1]\nclass C:\n    async def d(self): pass\n"
    assert function_lines(source) == [1, 5, 5, 7]
