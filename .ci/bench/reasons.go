package main

// Why targets are missed, if they are: what the profile says, and what was tried.
const (
	sharedCores = "300 MB/s come out of the container, and on two processors the upload and the server that stands in for Azure compete with it: with the upload held back until the container's end it is 1.02× discard. Tried: uploading every flush interval rather than for every MiB (kept: 1.30× to 1.24× discard, 1.09× to 0.98× json-file)."

	bytesNotLines = "dockerd's cost is for each line, and there are 6,104 of them; the plugin's is for each byte, and it brings 100 MB to a disk and to a server: TLS and TCP 29 %, JSON 15 %, checksum and write to the spool 13 %, reading it back 8 %, the pipe 10 % of its profile. Tried: no wake-up for each write (kept), reused buffers and records (kept); TLS, TCP and JSON alone are more than the half of dockerd's."

	fluentBitsPace = "Fluent Bit sets the pace: its tail input and its flush of once a second take about as long with any output, and with null, which sends nothing, no less. The runs of one output are further apart than the outputs are."

	longList = "By the last quarter of a million flushes 92 sealed blocks of 16 MiB are in each list (3 kB of 20.6), and each byte is uploaded 3.8 times instead of 2.9: one carry more. Fewer blocks would mean larger ones: with 32 MiB or other bases the extra upload costs more than the shorter list saves (simulated for bases 12 to 64 and windows to 64 MiB)."

	noServiceTime = "Three requests to a service that takes 15 µs: what is left is CPU. Of the 160 µs more, about 70 are azblob's pipeline and the writer's (309 allocations a commit: request clone, header canonicalisation and HMAC of the shared key, the block list's XML), 50 the stand-in's own (it checks the signature, 22 headers where the bare client sends 4), the rest two goroutine switches and net/http's share of the longer headers. Against a service that takes a millisecond a request it is the row above."

	certificates = "Two thirds of both are the system's certificates (290 files), read within the first handshake; ours are 1.1 ms of package initialisation (azidentity's MSAL, klauspost/compress) and 1.0 ms up to the dial. A collection in the middle of the handshake (2.4 ms of CPU) is put off and only the command asked for is built; reading the certificates beside the rest gained nothing."

	linked = "What is linked is resident: this kernel maps whole folios of the binary. Beside the bare program, net/http with azblob alone takes 1.11×, with azidentity's credentials 1.28×, with its default chain (whose browser login links the HTTP server) 1.36×, with gzip and zstd 1.38×, with cobra 1.45×, all before a line of ours. Tried: no inlining (0.9 MB less to link, slower), a smaller GC percent (0.5 MB less, 4 ms more)."

	onceAProcess = "Most of it is there once and not per stream: heap spans and the pages of connections. From 1,000 to 10,000 streams each takes about 5 KiB more."

	keptTails = "The rest is liveblob.Budget: the tails' bytes, a cache of 8 MiB for all streams of a process together."

	twiceTheTails = "Of it, 8 MiB of tails are kept (liveblob.Budget), and Go's collector lets the heap grow to twice what lives."

	twoRequests = "Two requests a commit, of about 140 µs each: in a profile about 40 % is the SDK (signing half of it), a third net/http and its system calls, and less than a tenth ours. Taken out: growing a new goroutine's stack, a second write for each request."

	smallMembers = "A member may not refer to an earlier one, and a flush of 1.4 kB (raw) or 2.1 kB (json) has little to refer to: zlib's level 6 makes as much of the same cuts (0.490 and 0.616 MB), level 9 less than 2 % smaller. 1.5 holds from 7 and 6 kB a flush. One member that goes on would hold it, but is not a whole gzip file at every commit (gunzip and Python fail)."

	smallFrames = "A frame may not refer to an earlier one, and a flush of 1.4 kB (raw) or 2.1 kB (json) has little to refer to: zstd -3 itself makes as much of the same cuts (0.485 and 0.611 MB), the better level 3 % smaller at twice the time. 1.5 holds from 8 and 6 kB a flush. A dictionary would have to be had by every reader."

	tablesOfFrames = "45 % of the profile is the Huffman coding and 27 % the FSE tables of each frame, made anew for 1.4 or 2.1 kB; no level or option makes them cheaper, and zstd -3 itself takes half as long again as this for the same cuts (zstd -b3 -B2094). It is 10 µs a flush."
)
