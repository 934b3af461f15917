package main

import (
	"fmt"
	"net"
	"time"
)

// answer sends each datagram back to who sent it, and ends after "end".
func answer(address string) error {
	socket, err := listenPacket(address)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	buffer := make([]byte, 65536)
	for {
		length, from, err := socket.ReadFrom(buffer)
		if err != nil {
			return err
		}
		_, port, _ := net.SplitHostPort(from.String())
		text := fmt.Sprintf("%s from port %s", buffer[:length], port)
		if _, err := socket.WriteTo([]byte(text), from); err != nil {
			return err
		}
		if string(buffer[:length]) == "end" {
			return nil
		}
	}
}

// ask sends each text and prints what comes back, by a socket without a peer.
func ask(address string, texts []string) error {
	socket, err := listenPacket("0.0.0.0:4000")
	if err != nil {
		return err
	}
	to, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return err
	}
	buffer := make([]byte, 65536)
	for _, text := range texts {
		if _, err := socket.WriteTo([]byte(text), to); err != nil {
			return err
		}
		if err := socket.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			return err
		}
		length, from, err := socket.ReadFrom(buffer)
		if err != nil {
			return err
		}
		fmt.Println(string(buffer[:length]), from)
	}
	return nil
}
