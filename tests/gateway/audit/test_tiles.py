"""The tree in tiles, held against the tree itself and the C2SP page's own examples."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit.errors import TileError
from gateway.audit.merkle import Tree, between, is_consistent, leaf_hash, neighbours
from gateway.audit.tiles import DiskTiles, Overlay, Tiles, faults, resumed, tile_name, unfinished

LEAVES = [sha256(str(number).encode()).digest() for number in range(70_000)]


def grown(store: DiskTiles | Overlay, size: int) -> Tiles:
    tiles = Tiles(store)
    for leaf in LEAVES[:size]:
        tiles.push(leaf)
    tiles.save()
    return tiles


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70,000 leaves, as in the example of the C2SP page."""
    path = tmp_path_factory.mktemp("tiles")
    tiles = grown(DiskTiles(path), 70_000)
    DiskTiles(path).put_state(70_000, tiles.root())
    return path


def root_of(start: int, end: int) -> bytes:
    tree = Tree()
    for leaf in LEAVES[start:end]:
        tree.push(leaf)
    return tree.root()


@pytest.mark.parametrize(
    ("level", "index", "width", "name"),
    [
        (0, 1_234_067, 256, "0/x001/x234/067"),
        (0, 0, 256, "0/000"),
        (2, 0, 1, "2/000.p/1"),
        (0, 273, 112, "0/273.p/112"),
        ("entries", 1000, 256, "entries/x001/000"),
    ],
)
def test_names_are_those_of_the_format(level: int, index: int, width: int, name: str) -> None:
    assert tile_name(level, index, width) == name


def test_a_tree_of_70000_has_the_tiles_that_the_format_page_lists(big: Path) -> None:
    names = sorted(str(path.relative_to(big)) for path in big.rglob("*") if path.is_file())
    full = [f"0/{number:03d}" for number in range(273)]
    assert names == sorted([*full, "0/273.p/112", "1/000", "1/001.p/17", "2/000.p/1", "built"])
    assert list(unfinished(256)) == [(1, 0, 1)]
    assert (big / "0/001").read_bytes() == b"".join(LEAVES[256:512])
    assert (big / "1/000").read_bytes()[32:64] == root_of(256, 512)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_proofs_from_tiles_are_those_of_the_tree(big: Path, data: st.DataObject) -> None:
    new = data.draw(st.sampled_from([1, 2, 255, 256, 257, 512, 65_535, 65_536, 65_537, 69_999, 70_000]))
    old, index = data.draw(st.integers(1, new)), data.draw(st.integers(0, new - 1))
    tiles = resumed(DiskTiles(big))
    assert tiles.root(new) == root_of(0, new)
    assert list(tiles.inclusion(index, new)) == [root_of(*span) for span in neighbours(index, new)]
    proof = tiles.consistency(old, new)
    assert list(proof) == [root_of(*span) for span in between(old, new)]
    assert is_consistent(old, tiles.root(old), new, tiles.root(new), proof)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 600, 65_536, 65_537])
def test_a_tree_goes_on_where_it_was_left(tmp_path: Path, size: int) -> None:
    disk = DiskTiles(tmp_path)
    disk.put_state(size, grown(disk, size).root())
    tiles = resumed(disk)
    for leaf in LEAVES[size : size + 700]:
        tiles.push(leaf)
    assert tiles.root() == root_of(0, size + 700)
    assert tiles.root(size) == root_of(0, size)


def test_growth_in_an_overlay_leaves_the_files_alone(tmp_path: Path) -> None:
    disk = DiskTiles(tmp_path)
    disk.put_state(300, grown(disk, 300).root())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    tiles = resumed(disk, Overlay(disk))
    for leaf in LEAVES[300:900]:
        tiles.push(leaf)
    assert tiles.inclusion(290, 900) == tuple(root_of(*span) for span in neighbours(290, 900))
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_crash_between_a_tile_and_the_state_costs_nothing(tmp_path: Path) -> None:
    """The partial tile that the state needs was replaced by a longer one, or by the full tile."""
    disk = DiskTiles(tmp_path)
    disk.put_state(300, grown(disk, 300).root())
    grown(disk, 350)
    assert resumed(disk).root() == root_of(0, 300)
    grown(disk, 700)
    assert not (tmp_path / "0/001.p").exists()
    assert resumed(disk).root() == root_of(0, 300)


def test_a_published_log_keeps_its_partial_tiles(tmp_path: Path) -> None:
    disk = DiskTiles(tmp_path, keep_partial=True)
    grown(disk, 300)
    grown(disk, 600)
    assert (tmp_path / "0/001.p/44").exists()
    assert (tmp_path / "0/002.p/88").exists()


@pytest.mark.parametrize("damage", ["missing", "short", "long"])
def test_a_torn_tile_is_an_error_and_never_a_guess(tmp_path: Path, damage: str) -> None:
    disk = DiskTiles(tmp_path)
    disk.put_state(70_000, grown(disk, 70_000).root())
    tile = tmp_path / "0/007"
    if damage == "missing":
        tile.unlink()
    else:
        tile.write_bytes(tile.read_bytes()[:100] if damage == "short" else tile.read_bytes() + bytes(32))
    with pytest.raises(TileError, match="tile `0/007`"):
        resumed(disk).inclusion(7 * 256 + 3, 70_000)
    assert [told for told in faults(disk, 70_000) if told]


def test_a_wrong_tile_is_found_by_the_one_above_it(tmp_path: Path) -> None:
    disk = DiskTiles(tmp_path)
    disk.put_state(70_000, grown(disk, 70_000).root())
    assert list(faults(disk, 70_000)) == [None] * 274
    tile = tmp_path / "0/200"
    tile.write_bytes(bytes([tile.read_bytes()[0] ^ 1]) + tile.read_bytes()[1:])
    assert [told for told in faults(disk, 70_000) if told] == ["tile `0/200` is not what the tile above it says"]


@pytest.mark.parametrize("text", [None, "", "300", "300\nAAAA\n", "-1\n" + "A" * 43 + "=\n", "\xff"])
def test_a_state_that_is_none_is_an_error(tmp_path: Path, text: str | None) -> None:
    disk = DiskTiles(tmp_path)
    grown(disk, 300)
    if text is not None:
        (tmp_path / "built").write_text(text, "latin-1")
    with pytest.raises(TileError):
        resumed(disk)


def test_tiles_of_another_root_are_not_used(tmp_path: Path) -> None:
    disk = DiskTiles(tmp_path)
    grown(disk, 300)
    disk.put_state(300, leaf_hash(b"another log"))
    with pytest.raises(TileError, match="do not make up the root"):
        resumed(disk)


def test_leaves_that_are_not_there_are_not_made_up() -> None:
    tiles = grown(Overlay(DiskTiles(Path("/nowhere"))), 5)
    with pytest.raises(TileError, match="hold 5 leaves, expected 6"):
        tiles.root(6)
