"""What is written faster is the same text."""

import unittest

import xmltodict

from emulator.patches import serializing


class SerializingTest(unittest.TestCase):
    def test_every_kind_of_value_is_written_as_by_xmltodict(self) -> None:
        options = {"full_document": True, "pretty": False, "short_empty_elements": True}
        for inner in (
            {"@xmlns": "http://ec2.amazonaws.com/doc/2016-11-15/", "requestId": "r-1"},
            {"set": {"item": [{"id": "i-1", "tags": {"item": [{"key": "a<b&c>\"'", "value": ""}]}}, {"id": "i-2"}]}},
            {"none": None, "no": False, "yes": True, "number": 3, "share": 0.5, "empty": {}, "bare": [], "blank": [""]},
            {"text": {"@kind": "x<\"", "#text": "größe\n  "}, "bytes": b"abc", "tuple": ("a", "b")},
            {"@xmlns": {"": "http://a/", "b": "http://b/"}, "x": 1},
        ):
            document = {"Response": inner}
            self.assertEqual(serializing.unparse(document, **options), xmltodict.unparse(document, **options))
        self.assertEqual(
            serializing.unparse({"a": {"b": "c"}}, pretty=True), xmltodict.unparse({"a": {"b": "c"}}, pretty=True)
        )

    def test_a_name_that_would_break_the_document_is_refused(self) -> None:
        for name in ("a b", "a>", "a/"):
            with self.assertRaises(ValueError):
                serializing.unparse(
                    {"Response": {name: "x"}}, full_document=True, pretty=False, short_empty_elements=True
                )


if __name__ == "__main__":
    unittest.main()
