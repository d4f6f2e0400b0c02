package logopt

import (
	"errors"
	"os"
	"strings"
	"time"
)

// Info is what dockerd says of a container in StartLogging and ReadLogs. Its methods
// are those that tag templates have in all of Docker's log drivers, and Tag.
type Info struct {
	Config              map[string]string // the log-opts
	ContainerID         string
	ContainerName       string // begins with a slash
	ContainerEntrypoint string
	ContainerArgs       []string
	ContainerImageID    string
	ContainerImageName  string
	ContainerCreated    time.Time
	ContainerEnv        []string // name=value; may hold secrets
	ContainerLabels     map[string]string
	LogPath             string
	DaemonName          string

	hostname, tag string // set for templates by Host.Settings
}

// ID is the container's ID in 12 characters.
func (i *Info) ID() string { return short(i.ContainerID) }

// FullID is the container's ID.
func (i *Info) FullID() string { return i.ContainerID }

// Name is the container's name without its slash.
func (i *Info) Name() string { return strings.TrimPrefix(i.ContainerName, "/") }

// Command is the entry point and its arguments.
func (i *Info) Command() string {
	return strings.Join(append([]string{i.ContainerEntrypoint}, i.ContainerArgs...), " ")
}

// ImageID is the first 12 characters of the image's ID, sha256: among them, as in
// Docker's own drivers.
func (i *Info) ImageID() string { return short(i.ContainerImageID) }

// ImageFullID is the image's ID.
func (i *Info) ImageFullID() string { return i.ContainerImageID }

// ImageName is the image as the user named it.
func (i *Info) ImageName() string { return i.ContainerImageName }

// Hostname is this machine's name, or the one that the plugin was given.
func (i *Info) Hostname() (string, error) {
	if i.hostname != "" {
		return i.hostname, nil
	}
	return os.Hostname()
}

// Tag is the expanded log-opt tag, or Docker's default for it, ID.
func (i *Info) Tag() (string, error) {
	if i.tag == "" {
		return "", errors.New("a tag cannot be made of itself")
	}
	return i.tag, nil
}

func short(id string) string { return id[:min(len(id), 12)] }
