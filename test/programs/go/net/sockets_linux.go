package main

import "net"

var dial = (&net.Dialer{}).DialContext

func listen(address string) (net.Listener, error)         { return net.Listen("tcp", address) }
func listenPacket(address string) (net.PacketConn, error) { return net.ListenPacket("udp", address) }
