# Puts the output of go test -bench into columns: one line per benchmark under a
# heading per package, the same measure always in the same column. All other lines,
# failures among them, pass through.

function human(value, unit,    prefix) {
	if (unit == "ns/op") {
		if (value >= 1e9) return sprintf("%.3g s", value / 1e9)
		if (value >= 1e6) return sprintf("%.3g ms", value / 1e6)
		if (value >= 1e3) return sprintf("%.3g µs", value / 1e3)
		return sprintf("%.3g ns", value)
	}
	if (unit == "B/op") {
		if (value >= 1073741824) return sprintf("%.3g GiB", value / 1073741824)
		if (value >= 1048576) return sprintf("%.3g MiB", value / 1048576)
		if (value >= 10240) return sprintf("%.3g KiB", value / 1024)
		return value " B"
	}
	sub(/\/op$/, "", unit)
	return value " " unit
}

# width counts characters, as mawk's length counts bytes.
function pad(text, width,    s) {
	s = text
	gsub(/µ/, "u", s)
	while (length(s) < width) { text = text " "; s = s " " }
	return text
}

/^(goos|goarch): / || /^PASS$/ || /\[no test files\]$/ { next }
/^cpu: / { cpu = $0; next }
/^pkg: / { pkg = $2; next }
/^ok / { next }

/^Benchmark/ && NF >= 4 && $2 ~ /^[0-9]+$/ {
	if (cpu != shown) { print cpu; shown = cpu }
	if (pkg != heading) { print "\n" pkg; heading = pkg }
	name = $1
	sub(/^Benchmark/, "", name)
	sub(/-[0-9]+$/, "", name)
	line = pad("  " name, 46)
	rest = ""
	split("", m)
	for (i = 3; i < NF; i += 2) {
		if ($(i + 1) ~ /^(ns\/op|MB\/s|B\/op|allocs\/op)$/) m[$(i + 1)] = human($i, $(i + 1))
		else rest = rest "  " human($i, $(i + 1))
	}
	print line " " pad(m["ns/op"], 10) " " pad(m["MB/s"], 14) " " pad(m["B/op"], 10) " " pad(m["allocs/op"], 15) rest
	fflush()
	next
}

{ print; fflush() }
