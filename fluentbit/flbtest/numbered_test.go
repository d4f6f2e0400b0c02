package flbtest

import (
	"slices"
	"strings"
	"testing"

	"github.com/liveblob/azureblob/core/azuretest"
)

func TestNumbered(t *testing.T) {
	n := &Numbered{Size: 20}
	lines := slices.Concat(n.Lines("a", 3), n.Lines("b", 2), n.Lines("a", 2))
	if err := n.Check(lines); err != nil {
		t.Fatal(err)
	}
	if lines[0] != "a 1 ================" {
		t.Errorf("the first line is %q", lines[0])
	}
	if err := n.Check(slices.Concat(lines[:3], lines[5:]), "a"); err != nil {
		t.Errorf("one tag of two: %v", err)
	}
	for _, c := range []struct {
		name, want string
		lines      []string
	}{
		{"none", "a 1 of 5 is missing", nil},
		{"one is missing", "1 are missing, 0 doubled, 0 out of order, and 0 others", slices.Delete(slices.Clone(lines), 1, 2)},
		{"the last is missing", "a 5 of 5 is missing", lines[:6]},
		{"one is doubled", "a 2 is there twice", slices.Insert(slices.Clone(lines), 4, lines[1])},
		{"two are swapped", "a 1 comes after a 2", append([]string{lines[1], lines[0]}, lines[2:]...)},
		{"never made", "none that was made", append(slices.Clone(lines), "a 6 ================")},
		{"number 0", "none that was made", append(slices.Clone(lines), "a 0 ================")},
		{"another tag's", "none that was made", append(slices.Clone(lines), "c 1 ================")},
		{"cut off", "1 are missing, 0 doubled, 0 out of order, and 1 others", append(slices.Clone(lines[:6]), lines[6][:19])},
		{"other text", "none that was made", append(slices.Clone(lines), "hello")},
	} {
		if err := n.Check(c.lines); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	n.AnyOrder = true
	slices.Reverse(lines)
	if err := n.Check(lines); err != nil {
		t.Errorf("in any order: %v", err)
	}
	if err := n.Check(append(lines, lines[0])); err == nil {
		t.Error("in any order, a line may be there twice")
	}
}

func TestBlobLines(t *testing.T) {
	b := azuretest.Blob{Content: []byte("{\"log\":\"a\\n\"}\n{\"log\":\"b\",\"x\":1}\n")}
	if got, err := BlobLines(b, "json"); err != nil || !slices.Equal(got, []string{"a\n", "b"}) {
		t.Errorf("json: %q, %v", got, err)
	}
	b.Content = []byte("a\nb\n")
	if got, err := BlobLines(b, "raw"); err != nil || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("raw: %q, %v", got, err)
	}
	if _, err := BlobLines(b, "json"); err == nil {
		t.Error("lines that are no JSON pass as it")
	}
	b.Content = []byte("a\nb")
	if _, err := BlobLines(b, "raw"); err == nil {
		t.Error("a last line without a newline passes")
	}
}
