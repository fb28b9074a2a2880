import numpy as np
import pytest

from archives.table import ScoreTable, merge, read_csv
from fitness.errors import UserError

CSV = """layer,head,program_idx,program_name,sentence_idx,iou_score
0,0,0,previous,0,0.5
0,0,0,previous,1,0.7
0,0,1,first,0,0.25
0,1,1,first,0,1.0
0,1,1,first,1,
1,10,0,previous,0,nan
0,1,0,previous,0,0.125
0,1,0,previous,1,0.375
"""


def written(tmp_path, text, name="scores.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_csv_becomes_heads_by_programs_by_texts_with_nan_for_what_is_missing(tmp_path):
    table = read_csv(written(tmp_path, CSV))
    assert table.heads == ("L0H0", "L0H1", "L1H10")
    assert table.programs == ("previous", "first")
    assert table.scores.shape == (3, 2, 2)
    assert table.scores.dtype == np.float32
    np.testing.assert_allclose(table.means, [[0.6, 0.25], [0.25, 1.0], [np.nan, np.nan]], rtol=1e-6)


def test_missing_pairs_partial_pairs_and_unscored_heads_are_counted(tmp_path):
    missing = read_csv(written(tmp_path, CSV)).missing()
    assert (missing.pairs, missing.pairs_missing, missing.pairs_partial) == (6, 2, 2)
    assert (missing.heads_unscored, missing.programs_unscored) == (1, 0)


def test_order_of_csv_rows_does_not_matter(tmp_path):
    header, *rows = CSV.strip().split("\n")
    turned = read_csv(written(tmp_path, "\n".join([header, *rows[::-1]])))
    straight = read_csv(written(tmp_path, CSV, "other.csv"))
    assert turned.programs == straight.programs
    np.testing.assert_array_equal(turned.scores, straight.scores)


def test_csv_with_numbers_alone_or_names_alone_or_without_texts(tmp_path):
    numbers = read_csv(written(tmp_path, "layer,head,program_idx,sentence_idx,iou_score\n0,0,10,0,0.5\n0,0,9,0,0.5\n"))
    assert numbers.programs == ("9", "10")
    assert numbers.numbered
    names = read_csv(written(tmp_path, "head,layer,program_name,iou_score\n3,2,a,0.5\n"))
    assert names.heads == ("L2H3",)
    assert names.scores.shape == (1, 1)
    assert not names.numbered


def test_two_programs_of_one_name_stay_apart_by_number(tmp_path):
    text = "layer,head,program_idx,program_name,iou_score\n0,0,4,same,0.5\n0,0,7,same,0.25\n0,0,8,other,0.1\n"
    assert read_csv(written(tmp_path, text)).programs == ("same#4", "same#7", "other")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column layer, head, iou_score"),
        ("layer,head,iou_score\n", "program_idx or program_name"),
        ("layer,head,program_idx,iou_score\n", "holds no scores"),
        ("layer,head,program_idx,iou_score\n0,0,0,1.5\n", "line 2: iou_score 1.5 lies outside"),
        ("layer,head,program_idx,iou_score\n0,0,0,inf\n", "line 2: iou_score inf lies outside"),
        ("layer,head,program_idx,iou_score\n0,0,0,-0.1\n", "outside"),
        ("layer,head,program_idx,iou_score\n0,x,0,0.1\n", "line 2: invalid literal"),
        ("layer,head,program_idx,iou_score\n0,0,,0.1\n", "needs a layer and a head from 0 on and a program"),
        ("layer,head,program_idx,iou_score\n0,0,0\n", "line 2: 3 cells, expected 4"),
        ("layer,head,program_name,iou_score\n0,0,a,0.5\n0,0,a,0.6\n", "line 3: second score for L0H0, program a"),
    ],
)
def test_bad_csv_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_csv(written(tmp_path, text))


def test_missing_or_binary_file_is_a_clear_error(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_csv(tmp_path / "none.csv")
    path = tmp_path / "binary.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UserError, match="not CSV text"):
        read_csv(path)


def test_a_repeated_row_of_the_same_score_is_no_error(tmp_path):
    text = "layer,head,program_name,iou_score\n0,0,a,0.5\n0,0,a,0.5\n"
    assert read_csv(written(tmp_path, text)).means[0, 0] == 0.5


def test_equal_names_and_impossible_scores_are_refused():
    with pytest.raises(UserError, match="two heads are named 'L0H0'"):
        ScoreTable(np.zeros((2, 1)), ("L0H0", "L0H0"), ("a",))
    with pytest.raises(UserError, match="two programs are named 'a'"):
        ScoreTable(np.zeros((1, 2)), ("L0H0",), ("a", "a"))
    with pytest.raises(UserError, match="IoU must lie in"):
        ScoreTable(np.full((1, 1), 2.0), ("L0H0",), ("a",))
    with pytest.raises(ValueError, match="expected"):
        ScoreTable(np.zeros((1, 2)), ("L0H0",), ("a",))


def test_merged_runs_keep_their_heads_apart_and_share_programs_by_name():
    one = ScoreTable(np.full((1, 2, 2), 0.5), ("L0H0",), ("a", "b"))
    two = ScoreTable(np.full((2, 2, 3), 0.25), ("L0H0", "L0H1"), ("b", "c"))
    table = merge({"gpt": one, "llama": two})
    assert table.heads == ("gpt/L0H0", "llama/L0H0", "llama/L0H1")
    assert table.programs == ("a", "b", "c")
    assert table.scores.shape == (3, 3, 5)
    assert table.text_runs == ("gpt",) * 2 + ("llama",) * 3
    np.testing.assert_array_equal(
        table.means, np.float32([[0.5, 0.5, np.nan], [np.nan, 0.25, 0.25], [np.nan, 0.25, 0.25]])
    )
    assert table.missing().pairs_partial == 0
    assert merge({"alone": one}) is one
    with pytest.raises(UserError, match="nothing to merge"):
        merge({})


def test_numbers_of_different_tables_are_different_programs():
    one = ScoreTable(np.full((1, 1), 0.5), ("L0H0",), ("0",), numbered=True)
    two = ScoreTable(np.full((1, 1), 0.25), ("L0H0",), ("0",), numbered=True)
    assert merge({"x": one, "y": two}).programs == ("x/0", "y/0")


def test_texts_split_into_two_halves_without_overlap():
    table = ScoreTable(np.arange(10).reshape(1, 1, 10) / 10, ("L0H0",), ("a",), texts=tuple(map(str, range(10))))
    held_out, test = table.split_texts()
    assert held_out.texts == ("0", "2", "4", "6", "8")
    assert test.texts == ("1", "3", "5", "7", "9")
    np.testing.assert_allclose(test.scores[0, 0], [0.1, 0.3, 0.5, 0.7, 0.9], rtol=1e-6)
    with pytest.raises(UserError, match="two texts"):
        table.take_texts([0]).split_texts()
