// Package liveblob writes a log to Azure Blob Storage so that it is readable at
// every commit, and follows such a log while it grows. It knows only bytes.
package liveblob
