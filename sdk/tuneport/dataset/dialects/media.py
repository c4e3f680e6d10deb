"""Images, and other media, in the words of OpenAI, Bedrock and Vertex.

Canonical: `{"type": "image_url", "image_url": {"url"}}`; other media are `{"type": "file", "file": {"url", "mime_type"}}`. The
url is `https:`, `gs:`, `s3:` or `data:`. `mime_type` stands in an image_url only where the url's ending does not tell it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuneport.dataset.dialects.base import Cannot, Loss, mapping, shown

_TYPES = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp",
    "bmp": "image/bmp", "heic": "image/heic", "mp4": "video/mp4", "mov": "video/quicktime", "mkv": "video/x-matroska",
    "webm": "video/webm", "mpeg": "video/mpeg", "mpg": "video/mpeg", "mp3": "audio/mpeg", "wav": "audio/wav",
    "pdf": "application/pdf",
}  # fmt: skip
_FORMATS = {"quicktime": "mov", "x-matroska": "mkv", "jpg": "jpeg"}
_MIMES = {"mov": "video/quicktime", "mkv": "video/x-matroska"}
_KNOWN = frozenset({"url", "mime_type"})


def _by_name(url: str) -> str | None:
    return _TYPES.get(url.partition("?")[0].rpartition(".")[2].lower())


def _canonical(url: str, mime: Any, **further: Any) -> dict[str, Any]:
    if isinstance(mime, str) and not mime.startswith("image/"):
        return {"type": "file", "file": {"url": url, "mime_type": mime, **further}}
    told = {} if url.startswith("data:") or _by_name(url) == mime else {"mime_type": mime}
    return {"type": "image_url", "image_url": {"url": url, **told, **further}}


def _split(
    part: Mapping[str, Any], path: str, losses: list[Loss], keep: frozenset[str]
) -> tuple[str, str, str, Mapping[str, Any]]:
    """The url, its MIME type, its base64 data ("" where it is a link), and the part's own object."""
    kind = part.get("type")
    inner = part.get(kind) if isinstance(kind, str) and kind in {"image_url", "file"} else None
    inner = {"url": inner} if isinstance(inner, str) else mapping(inner)
    url = inner.get("url") if inner is not None else None
    if inner is None or not isinstance(url, str):
        raise Cannot(path, f"the part {shown(part)}", "only text, images and linked files can be carried over")
    for owner, place, said in ((inner, f"{path}.{kind}", _KNOWN | keep), (part, path, {"type", kind})):
        lost = [key for key in owner if key not in said and owner[key] is not None]
        losses.extend(
            Loss(f"{place}.{key}", f"{key} {shown(owner[key])}", "the dialect has no such key") for key in lost
        )
    if not url.startswith("data:"):
        mime = inner.get("mime_type") or _by_name(url)
        if not isinstance(mime, str):
            raise Cannot(path, f"the image {shown(url)}", "its type must be given, and its name does not tell it")
        return url, mime, "", inner
    head, _, data = url[5:].partition(",")
    mime, *settings = head.split(";")
    if settings[-1:] != ["base64"] or "/" not in mime:
        raise Cannot(path, f"the image {shown(url)}", "only data:<type>;base64,… can be carried over")
    if settings[:-1]:
        losses.append(Loss(f"{path}.{kind}.url", f"the settings {';'.join(settings[:-1])!r}", "the dialect has none"))
    return url, mime, data, inner


def to_vertex(part: Mapping[str, Any], path: str, losses: list[Loss]) -> dict[str, Any]:
    url, mime, data, _ = _split(part, path, losses, frozenset())
    if data:
        return {"inlineData": {"mimeType": mime, "data": data}}
    if not url.startswith(("gs://", "https://", "http://")):
        raise Cannot(
            path, f"the image {shown(url)}", "Vertex reads gs:// and https:// links, and data: URLs that hold data"
        )
    return {"fileData": {"mimeType": mime, "fileUri": url}}


def from_vertex(part: Mapping[str, Any]) -> dict[str, Any] | None:
    """None where the part is no such thing, or holds more than can be said."""
    if len(part) != 1:
        return None
    ((key, value),) = part.items()
    value = mapping(value)
    if value is None or len(value) != 2:
        return None
    mime = value.get("mimeType", value.get("mime_type"))
    if key in {"fileData", "file_data"}:
        url = value.get("fileUri", value.get("file_uri"))
        return _canonical(url, mime) if isinstance(url, str) and isinstance(mime, str) else None
    if key in {"inlineData", "inline_data"}:
        data = value.get("data")
        return (
            _canonical(f"data:{mime};base64,{data}", mime) if isinstance(data, str) and isinstance(mime, str) else None
        )
    return None


_OWNER = frozenset({"bucketOwner"})


def to_converse(part: Mapping[str, Any], path: str, losses: list[Loss]) -> dict[str, Any]:
    url, mime, data, inner = _split(part, path, losses, _OWNER)
    family, _, form = mime.partition("/")
    if family not in {"image", "video"}:
        raise Cannot(path, f"a file of type {mime}", "Bedrock's training rows take images and videos")
    form = _FORMATS.get(form, form)
    if data:
        source: dict[str, Any] = {"bytes": data}
        if inner.get("bucketOwner") is not None:
            losses.append(Loss(f"{path}.{part['type']}.bucketOwner", "bucketOwner", "the bytes are in the row"))
    elif url.startswith("s3://"):
        owner = {} if inner.get("bucketOwner") is None else {"bucketOwner": inner["bucketOwner"]}
        source = {"s3Location": {"uri": url, **owner}}
    else:
        raise Cannot(path, f"the image {shown(url)}", "Bedrock reads images from s3:// or as bytes (a data: URL)")
    return {family: {"format": form, "source": source}}


def from_converse(part: Mapping[str, Any]) -> dict[str, Any] | None:
    if len(part) != 1:
        return None
    ((family, value),) = part.items()
    value, source = mapping(value), mapping((mapping(value) or {}).get("source"))
    if family not in {"image", "video"} or value is None or len(value) != 2 or source is None or len(source) != 1:
        return None
    form = value.get("format")
    if not isinstance(form, str):
        return None
    mime = _MIMES.get(form, f"{family}/{form}")
    if isinstance(data := source.get("bytes"), str):
        return _canonical(f"data:{mime};base64,{data}", mime)
    place = mapping(source.get("s3Location"))
    if place is None or not isinstance(url := place.get("uri"), str) or not place.keys() <= {"uri", "bucketOwner"}:
        return None
    return _canonical(url, mime, **({"bucketOwner": place["bucketOwner"]} if "bucketOwner" in place else {}))
