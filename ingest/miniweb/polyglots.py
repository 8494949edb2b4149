"""Files that are two things at once, or pretend to be a picture."""

import io
import struct
import tarfile
import zipfile

_LAUGHS = 10


def jpeg_and_zip(jpeg: bytes) -> bytes:
    """A JPEG with a ZIP archive behind it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("payload.txt"), "hello")
    return jpeg + buffer.getvalue()


def png_and_tar(png: bytes) -> bytes:
    """A PNG with a tar archive behind it, whose member would lie outside any folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("../../evil.txt")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"hello"))
    padding = bytes(-len(png) % 512)
    return png + padding + buffer.getvalue()


def gif_and_script() -> bytes:
    """A GIF of 10,799 x 16 pixels that is JavaScript too: its width opens a comment."""
    canvas = b"/*" + struct.pack("<H", 16) + b"\x80\0\0"
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    script = b"*/=1;alert(1)//"
    comment = b"\x21\xfe" + bytes([len(script)]) + script + b"\0"
    return b"GIF89a" + canvas + b"\0\0\0\xff\xff\xff" + comment + frame + b"\x3b"


def html_behind_jpeg() -> bytes:
    """The first bytes of a JPEG, and then a page."""
    return b"\xff\xd8\xff\xe0<html><script>alert(1)</script></html>"


def html_inside_jpeg(jpeg: bytes) -> bytes:
    """A good JPEG with a page in a comment."""
    page = b"<html><script>alert(1)</script></html>"
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(page) + 2) + page + jpeg[2:]


def svg_of_laughs() -> bytes:
    """An SVG whose entities unfold to a billion words."""
    steps = (f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, _LAUGHS))
    entities = ['<!ENTITY l0 "lol">', *steps]
    dtd = f"<!DOCTYPE svg [{''.join(entities)}]>"
    text = f"<svg xmlns='http://www.w3.org/2000/svg'><text>&l{_LAUGHS - 1};</text></svg>"
    return f"<?xml version='1.0'?>{dtd}{text}".encode()


def svg_of_file() -> bytes:
    """An SVG that wants a local file as an entity."""
    dtd = '<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    return f"{dtd}<svg xmlns='http://www.w3.org/2000/svg'><text>&x;</text></svg>".encode()


def comments_without_svg() -> bytes:
    """Comments that may be an SVG's prologue, over and over: many ways to read them, none ends."""
    return b"<!---->" * 290 + b"x"
