package main

import (
	"net"

	"github.com/stealthrocket/net/wasip1"
)

var dial = wasip1.DialContext

func listen(address string) (net.Listener, error)         { return wasip1.Listen("tcp", address) }
func listenPacket(address string) (net.PacketConn, error) { return wasip1.ListenPacket("udp", address) }
