"""Small stand-ins for the seams of the system. They script behaviour; they never patch it."""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from guards.profiles.profile import Profile

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def tiny_tokenizer(words: Sequence[str] = ()) -> Tokenizer:
    """A WordPiece tokenizer of the shipped guards' kind that knows letters, digits, punctuation and a few words."""
    pieces = [*SPECIAL, *string.ascii_lowercase, *string.digits, *string.punctuation]
    pieces += [f"##{char}" for char in string.ascii_lowercase + string.digits]
    vocab = {piece: id_ for id_, piece in enumerate(dict.fromkeys([*pieces, *words]))}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def write_model(directory: Path, profile: Profile, words: Sequence[str] = (), **changed: object) -> Path:
    """A model directory as the front reads it, with a true manifest. `changed` overrides entries of config.json."""
    sigmoid = {"problem_type": "multi_label_classification"} if profile.activation == "sigmoid" else {}
    config = {
        "architectures": [profile.architecture],
        "id2label": {str(i): label for i, label in enumerate(profile.labels)},
        "max_position_embeddings": 512,
        **sigmoid,
        **changed,
    }
    thresholds = {"score": 0.5, "fpr": 0.01, "categories": dict.fromkeys(profile.categories, 0.25)}
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "thresholds.json").write_text(json.dumps(thresholds))
    (directory / "tokenizer.json").write_text(tiny_tokenizer(words).to_str())
    write_manifest(directory)
    return directory


def write_manifest(directory: Path) -> str:
    """List what lies in the directory; returns the digest under which answers name it."""
    files: Mapping[str, object] = {
        path.name: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}
        for path in sorted(directory.iterdir())
        if path.name != "manifest.json"
    }
    manifest = {"format": "gatehouse-manifest/v1", "name": directory.name, "license": "Apache-2.0", "files": files}
    (directory / "manifest.json").write_text(json.dumps(manifest))
    canonical = json.dumps(files, sort_keys=True, separators=(",", ":")).encode()
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"


class ClassifyHost:
    """A model host that scores rows with a function and keeps what it was asked."""

    def __init__(self, model: str, weights: str, score: Callable[[Sequence[int]], Sequence[float]]) -> None:
        self.model, self.weights, self.score = model, weights, score
        self.calls: list[list[list[int]]] = []
        self.error: Exception | None = None
        self.status = 200
        self.body: object = None
        """When set, the answer whatever the question."""

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def answer(self, rows: Sequence[Sequence[int]]) -> dict[str, object]:
        """What a healthy host says."""
        data = [
            {"index": i, "label": "x", "probs": list(probs), "num_classes": len(probs)}
            for i, probs in enumerate(map(self.score, rows))
        ]
        return {"object": "list", "model": self.model, "weights": self.weights, "data": data}

    def _answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/classify"
        if self.error is not None:
            raise self.error
        question = json.loads(request.content)
        assert question["model"] == self.model
        self.calls.append(question["input"])
        body = self.answer(question["input"]) if self.body is None else self.body
        return httpx.Response(self.status, content=body if isinstance(body, bytes) else json.dumps(body).encode())
