package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
)

const (
	leaseWait  = 60 * time.Second
	linkWait   = 10 * time.Second
	retryRenew = time.Minute
)

// joinNetwork takes the address that the network gives by DHCP. It is the host's to give: the connection proves whom it reaches, not the address.
// renew keeps the address for as long as the machine runs.
func joinNetwork() (renew func(), err error) {
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return nil, fmt.Errorf("find the loopback: %w", err)
	}
	if err := netlink.LinkSetUp(loopback); err != nil {
		return nil, fmt.Errorf("start the loopback: %w", err)
	}
	card, err := findCard()
	if err != nil {
		return nil, err
	}
	if err := netlink.LinkSetUp(card); err != nil {
		return nil, fmt.Errorf("start %s: %w", card.Attrs().Name, err)
	}
	client, err := nclient4.New(card.Attrs().Name)
	if err != nil {
		return nil, fmt.Errorf("speak to %s: %w", card.Attrs().Name, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaseWait)
	defer cancel()
	lease, err := client.Request(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the network for an address: %w", err)
	}
	if err := apply(card, lease); err != nil {
		return nil, err
	}
	return func() { keep(client, card, lease) }, nil
}

// findCard waits for the one network card.
func findCard() (netlink.Link, error) {
	for deadline := time.Now().Add(linkWait); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		links, err := netlink.LinkList()
		if err != nil {
			return nil, fmt.Errorf("list the network cards: %w", err)
		}
		for _, link := range links {
			if link.Attrs().EncapType == "ether" && link.Attrs().Flags&net.FlagLoopback == 0 {
				return link, nil
			}
		}
	}
	return nil, errors.New("there is no network card")
}

// apply takes the lease's address, and its router where it names one.
func apply(card netlink.Link, lease *nclient4.Lease) error {
	given := lease.ACK
	mask := given.SubnetMask()
	if mask == nil || given.YourIPAddr.To4() == nil {
		return errors.New("the network gives no address with a mask")
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: given.YourIPAddr, Mask: mask}}
	if err := netlink.AddrReplace(card, address); err != nil {
		return fmt.Errorf("take the address %s: %w", address.IPNet, err)
	}
	if routers := given.Router(); len(routers) > 0 {
		if err := netlink.RouteReplace(&netlink.Route{LinkIndex: card.Attrs().Index, Gw: routers[0]}); err != nil {
			return fmt.Errorf("use the router %s: %w", routers[0], err)
		}
	}
	fmt.Printf("bastionlab-init: address %s\n", address.IPNet)
	return nil
}

// keep renews a lease at half its time. One that cannot be renewed is asked for again, and again: there is nobody to tell.
func keep(client *nclient4.Client, card netlink.Link, lease *nclient4.Lease) {
	for {
		time.Sleep(max(retryRenew, lease.ACK.IPAddressLeaseTime(time.Hour)/2))
		ctx, cancel := context.WithTimeout(context.Background(), leaseWait)
		renewed, err := client.Renew(ctx, lease)
		if err != nil {
			renewed, err = client.Request(ctx)
		}
		cancel()
		if err == nil {
			lease = renewed
			err = apply(card, lease)
		}
		if err != nil {
			fmt.Printf("bastionlab-init: the address is not renewed: %s\n", err)
		}
	}
}
