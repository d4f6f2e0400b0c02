// Command bare is what `azureblob pipe` is measured against: the least program
// that puts stdin's first line into a blob over TLS, with net/http and nothing
// else, and then waits for stdin to end.
package main

import (
	"bufio"
	"bytes"
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		log.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPut, os.Args[1], bytes.NewReader(line))
	if err != nil {
		log.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer bare"}, "X-Ms-Version": {"2024-11-04"}, "X-Ms-Blob-Type": {"BlockBlob"}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusCreated {
		log.Fatal(resp, err)
	}
	resp.Body.Close()
	io.Copy(io.Discard, in)
}
