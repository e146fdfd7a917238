"""Says of each document on stdin whether expat takes it.

A document is preceded by its length, four bytes, big endian; the answer is a
byte: y, or n. Namespaces are processed; the separator is a character that no
document can have in a namespace name.
"""
import sys
from xml.parsers import expat

data = sys.stdin.buffer.read()
at = 0
answers = bytearray()
while at < len(data):
    size = int.from_bytes(data[at : at + 4], "big")
    at += 4
    parser = expat.ParserCreate("UTF-8", "\x01")
    try:
        parser.Parse(data[at : at + size], True)
        answers += b"y"
    except expat.ExpatError:
        answers += b"n"
    at += size
sys.stdout.buffer.write(answers)
