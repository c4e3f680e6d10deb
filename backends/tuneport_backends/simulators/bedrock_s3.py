"""A small S3 for the simulated Bedrock, path-style: buckets, objects, multipart uploads and listings, kept in memory."""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape, unescape

from tuneport_backends.simulators.wire import Refused, Reply

_SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


class S3Refusal(Refused):
    """An error, in S3's shape."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        said = _tag("Code", code) + _tag("Message", message) + _tag("RequestId", uuid.uuid4().hex[:16].upper())
        body = f'<?xml version="1.0" encoding="UTF-8"?><Error>{said}</Error>'.encode()
        super().__init__(message, Reply(status, body, headers or {}))


@dataclass
class Object:
    body: bytes
    etag: str
    at: datetime
    headers: dict[str, str] = field(default_factory=dict[str, str])


@dataclass
class Multipart:
    bucket: str
    key: str
    at: datetime
    headers: dict[str, str]
    parts: dict[int, bytes] = field(default_factory=dict[int, bytes])


@dataclass
class S3:
    """`buckets`: each with its region."""

    buckets: dict[str, str]
    objects: dict[tuple[str, str], Object] = field(default_factory=dict[tuple[str, str], Object])
    uploads: dict[str, Multipart] = field(default_factory=dict[str, Multipart])

    def put(self, bucket: str, key: str, body: bytes, at: datetime, headers: Mapping[str, str] | None = None) -> str:
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        self.objects[bucket, key] = Object(body, f'"{etag}"', at, dict(headers or {}))
        return etag

    def read(self, uri: str) -> list[tuple[str, bytes]]:
        """The object at `uri`, or all under it. S3Refusal where there is nothing."""
        bucket, key = place(uri)
        if bucket not in self.buckets:
            raise S3Refusal(404, "NoSuchBucket", "The specified bucket does not exist")
        folder = key if key.endswith("/") or not key else f"{key}/"
        found = [
            (name, item.body)
            for (owner, name), item in sorted(self.objects.items())
            if owner == bucket and (name == key or name.startswith(folder))
        ]
        if not found:
            raise S3Refusal(404, "NoSuchKey", "The specified key does not exist.")
        return found

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        return sorted(key for owner, key in self.objects if owner == bucket and key.startswith(prefix))

    def serve(self, ask: Ask) -> Reply:
        bucket, key = ask.bucket, ask.key
        if not bucket:
            return _xml("ListAllMyBucketsResult", "".join(f"<Bucket>{_tag('Name', b)}</Bucket>" for b in self.buckets))
        if ask.method == "PUT" and not key:
            self.buckets.setdefault(bucket, ask.region)
            return Reply(200, b"")
        if bucket not in self.buckets:
            raise S3Refusal(404, "NoSuchBucket", "The specified bucket does not exist")
        if not key:
            return self._bucket(ask)
        if "uploads" in ask.query and ask.method == "POST":
            upload = uuid.uuid4().hex
            self.uploads[upload] = Multipart(bucket, key, ask.at, ask.kept)
            return _xml(
                "InitiateMultipartUploadResult", _tag("Bucket", bucket) + _tag("Key", key) + _tag("UploadId", upload)
            )
        if "uploadId" in ask.query:
            return self._multipart(ask)
        if ask.method == "PUT":
            ask.verify()
            etag = self.put(bucket, key, ask.body, ask.at, ask.kept)
            return Reply(200, b"", {"ETag": f'"{etag}"'})
        if ask.method == "DELETE":
            self.objects.pop((bucket, key), None)
            return Reply(204, b"")
        return self._object(ask)

    def _bucket(self, ask: Ask) -> Reply:
        region = self.buckets[ask.bucket]
        if ask.method == "HEAD":
            return Reply(200, b"", {"x-amz-bucket-region": region})
        if ask.method == "POST" and "delete" in ask.query:
            gone = [unescape(key) for key in re.findall("<Key>(.*?)</Key>", ask.body.decode("utf-8"))]
            for key in gone:
                self.objects.pop((ask.bucket, key), None)
            return _xml("DeleteResult", "".join(f"<Deleted>{_tag('Key', key)}</Deleted>" for key in gone))
        if ask.method == "DELETE":
            if self.keys(ask.bucket):
                raise S3Refusal(409, "BucketNotEmpty", "The bucket you tried to delete is not empty")
            del self.buckets[ask.bucket]
            return Reply(204, b"")
        if "location" in ask.query:
            return _xml("LocationConstraint", escape("" if region == "us-east-1" else region))
        prefix = ask.query.get("prefix", "")
        if "uploads" in ask.query:
            items = [
                f"<Upload>{_tag('Key', u.key)}{_tag('UploadId', name)}{_tag('Initiated', _moment(u.at))}</Upload>"
                for name, u in self.uploads.items()
                if u.bucket == ask.bucket and u.key.startswith(prefix)
            ]
            return _xml("ListMultipartUploadsResult", _tag("IsTruncated", "false") + "".join(items))
        return self._listing(ask, prefix)

    def _listing(self, ask: Ask, prefix: str) -> Reply:
        after = ask.query.get("continuation-token", "")
        keys = [key for key in self.keys(ask.bucket, prefix) if key > after]
        most = int(ask.query.get("max-keys", "1000"))
        page, more = keys[:most], len(keys) > most
        encoded = ask.query.get("encoding-type") == "url"
        items: list[str] = []
        for key in page:
            item = self.objects[ask.bucket, key]
            facts = (
                ("Key", quote(key, safe="/") if encoded else key),
                ("LastModified", _moment(item.at)),
                ("ETag", item.etag),
                ("Size", len(item.body)),
            )
            items.append("<Contents>" + "".join(_tag(name, str(value)) for name, value in facts) + "</Contents>")
        head = _tag("Name", ask.bucket) + _tag("KeyCount", str(len(page))) + _tag("IsTruncated", str(more).lower())
        head += _tag("NextContinuationToken", page[-1]) if more else ""
        head += _tag("EncodingType", "url") if encoded else ""
        return _xml("ListBucketResult", head + "".join(items))

    def _multipart(self, ask: Ask) -> Reply:
        upload = self.uploads.get(ask.query["uploadId"])
        if upload is None:
            raise S3Refusal(404, "NoSuchUpload", "The specified multipart upload does not exist.")
        if ask.method == "PUT":
            ask.verify()
            upload.parts[int(ask.query["partNumber"])] = ask.body
            return Reply(200, b"", {"ETag": f'"{hashlib.md5(ask.body, usedforsecurity=False).hexdigest()}"'})
        del self.uploads[ask.query["uploadId"]]
        if ask.method == "DELETE":
            return Reply(204, b"")
        parts = [upload.parts[number] for number in sorted(upload.parts)]
        sums = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in parts)
        etag = f'"{hashlib.md5(sums, usedforsecurity=False).hexdigest()}-{len(parts)}"'
        self.objects[ask.bucket, ask.key] = Object(b"".join(parts), etag, ask.at, upload.headers)
        return _xml(
            "CompleteMultipartUploadResult", _tag("Bucket", ask.bucket) + _tag("Key", ask.key) + _tag("ETag", etag)
        )

    def _object(self, ask: Ask) -> Reply:
        item = self.objects.get((ask.bucket, ask.key))
        if item is None:
            raise S3Refusal(404, "NoSuchKey", "The specified key does not exist.")
        headers = {"ETag": item.etag, "Last-Modified": item.at.strftime("%a, %d %b %Y %H:%M:%S GMT"), **item.headers}
        if (wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", ask.headers.get("range", ""))) is not None:
            first, last = int(wanted[1]), int(wanted[2] or len(item.body) - 1)
            headers["Content-Range"] = f"bytes {first}-{min(last, len(item.body) - 1)}/{len(item.body)}"
            return Reply(206, item.body[first : last + 1], headers)
        return Reply(200, item.body, headers)


@dataclass(frozen=True)
class Ask:
    """One request. `headers` by their lower-case names."""

    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    at: datetime
    region: str

    @property
    def kept(self) -> dict[str, str]:
        return {n: v for n, v in self.headers.items() if n.startswith("x-amz-meta-") or n == "content-type"}

    def verify(self) -> None:
        """The checksum that came with it, of the kinds that the SDK sends by itself."""
        stated = self.headers.get("x-amz-checksum-crc32")
        if stated and base64.b64decode(stated) != zlib.crc32(self.body).to_bytes(4, "big"):
            raise S3Refusal(400, "BadDigest", "The checksum you specified did not match what we received.")


def place(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def dechunked(body: bytes) -> bytes:
    """What an `aws-chunked` body holds, without its sizes, signatures and trailers."""
    pieces: list[bytes] = []
    at = 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end].split(b";")[0], 16)
        if not size:
            return b"".join(pieces)
        pieces.append(body[end + 2 : end + 2 + size])
        at = end + 2 + size + 2


def usual(status: int) -> tuple[str, str]:
    return {
        403: ("AccessDenied", "Access Denied"),
        404: ("NoSuchKey", "The specified key does not exist."),
        429: ("SlowDown", "Please reduce your request rate."),
        503: ("SlowDown", "Please reduce your request rate."),
    }.get(status, ("InternalError" if status >= 500 else "InvalidRequest", "We encountered an internal error."))


def _xml(name: str, inner: str) -> Reply:
    text = f'<?xml version="1.0" encoding="UTF-8"?><{name} xmlns="{_SPACE}">{inner}</{name}>'
    return Reply(200, text.encode(), {"Content-Type": "application/xml"})


def _tag(name: str, value: Any) -> str:
    return f"<{name}>{escape(str(value))}</{name}>"


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
