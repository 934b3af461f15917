# Imports the modules of the standard library that need no more than WASI has, and uses some that have C in them.
import argparse, ast, asyncio, base64, bisect, calendar, collections, configparser, copy, dataclasses, datetime, decimal
import difflib, email.message, enum, fractions, functools, heapq, html.parser, http.cookies, inspect, ipaddress, itertools
import json, locale, logging, math, mimetypes, operator, pickle, platform, pprint, queue, re, secrets, shlex, statistics
import string, struct, textwrap, threading, timeit, tomllib, traceback, types, typing, unicodedata, unittest, urllib.parse
import uuid, weakref, xml.etree.ElementTree, zlib

print(datetime.datetime(2026, 1, 31, tzinfo=datetime.timezone.utc) + datetime.timedelta(days=1))
print(decimal.Decimal("0.1") + decimal.Decimal("0.2"), fractions.Fraction(1, 3), math.factorial(30))
print(re.findall(r"(\w)(\d+)", "a1 b22 c333"), unicodedata.name("é"), zlib.crc32(b"text"))
print(xml.etree.ElementTree.fromstring("<a><b c='d'>e</b></a>").find("b").attrib)
print(tomllib.loads("a = [1, 2]"), pickle.loads(pickle.dumps({1: (2, 3)})), struct.pack("<Ih", 1, -1))
print(len({uuid.uuid4() for _ in range(1000)}), len(secrets.token_bytes(32)))
