package main

import (
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"time"
)

// zone prints a winter's and a summer's hour in each time zone, from the image's /usr/share/zoneinfo.
func zone(names []string) {
	for _, name := range names {
		location, err := time.LoadLocation(name)
		if err != nil {
			step("zone "+name, err)
			continue
		}
		for _, month := range []time.Month{time.January, time.July} {
			fmt.Println(time.Date(2026, month, 1, 12, 0, 0, 0, time.UTC).In(location))
		}
	}
}

// compress writes standard input to a file by gzip, and reads it again.
func compress(path string) {
	input, err := io.ReadAll(os.Stdin)
	step("read standard input", err, len(input))
	file, err := os.Create(path)
	step("create", err)
	writer := gzip.NewWriter(file)
	_, err = writer.Write(input)
	step("compress", err)
	step("finish", writer.Close())
	position, err := file.Seek(0, io.SeekStart)
	step("rewind", err, position)
	reader, err := gzip.NewReader(file)
	step("open", err)
	output, err := io.ReadAll(reader)
	step("decompress", err, len(output), fmt.Sprintf("%x", sha256.Sum256(output)))
}
