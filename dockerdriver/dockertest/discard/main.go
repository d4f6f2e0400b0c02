// Command discard is a log driver that reads what dockerd sends it, as fast as it
// comes, and throws it away: how fast a container can log through a plugin at
// all. Benchmarks compare the driver with it. It says that it has ReadLogs, or
// dockerd would keep a copy of its own and the comparison would be with that; its
// logs are always empty.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
)

const socket = "/run/docker/plugins/discard.sock"

func main() {
	log.SetFlags(0)
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		log.Fatal(err)
	}
	os.Remove(socket) // a killed process leaves it, and it cannot be bound again
	listener, err := net.Listen("unix", socket)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/Plugin.Activate", answer(`{"Implements":["LogDriver"]}`))
	http.HandleFunc("/LogDriver.Capabilities", answer(`{"Cap":{"ReadLogs":true}}`))
	http.HandleFunc("/LogDriver.StartLogging", start)
	http.HandleFunc("/LogDriver.StopLogging", answer(`{}`))
	http.HandleFunc("/LogDriver.ReadLogs", answer(``))
	log.Fatal(http.Serve(listener, nil))
}

func answer(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) }
}

func start(w http.ResponseWriter, r *http.Request) {
	var request struct{ File string }
	err := json.NewDecoder(r.Body).Decode(&request)
	var pipe *os.File
	if err == nil {
		pipe, err = os.Open(request.File)
	}
	if err != nil {
		text, _ := json.Marshal(err.Error())
		fmt.Fprintf(w, `{"Err":%s}`, text)
		return
	}
	go discard(pipe)
	io.WriteString(w, `{}`)
}

// discard ends when dockerd has closed the pipe, after StopLogging.
func discard(pipe *os.File) {
	defer pipe.Close()
	buf := make([]byte, 64<<10)
	for {
		if _, err := pipe.Read(buf); err != nil {
			return
		}
	}
}
