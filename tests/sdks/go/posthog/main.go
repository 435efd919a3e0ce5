// The posthog-go module under remote control; see toolchains.py.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"time"

	"github.com/posthog/posthog-go"
)

type request struct {
	Do         string         `json:"do"`
	Host       string         `json:"host"`
	Token      string         `json:"token"`
	Secret     string         `json:"secret"`
	PollMs     int            `json:"poll_ms"`
	Key        string         `json:"key"`
	Person     string         `json:"person"`
	Event      string         `json:"event"`
	Properties map[string]any `json:"properties"`
}

type answer map[string]any

var (
	client posthog.Client
	opened request
)

func open(r request) (answer, error) {
	var err error
	opened = r
	client, err = posthog.NewWithConfig(r.Token, posthog.Config{
		Endpoint:                           r.Host,
		PersonalApiKey:                     r.Secret,
		Interval:                           100 * time.Millisecond,
		DefaultFeatureFlagsPollingInterval: time.Duration(r.PollMs) * time.Millisecond,
	})
	return answer{}, err
}

func asked(r request) posthog.FeatureFlagPayload {
	return posthog.FeatureFlagPayload{Key: r.Key, DistinctId: r.Person, PersonProperties: r.Properties}
}

func parsed(text string, err error) (answer, error) {
	var value any
	if err == nil && text != "" {
		err = json.Unmarshal([]byte(text), &value)
	}
	return answer{"value": value}, err
}

func handle(r request) (answer, error) {
	switch r.Do {
	case "open":
		return open(r)
	case "flag":
		value, err := client.GetFeatureFlag(asked(r))
		return answer{"value": value}, err
	case "payload":
		return parsed(client.GetFeatureFlagPayload(asked(r)))
	case "capture":
		return answer{}, client.Enqueue(posthog.Capture{Event: r.Event, DistinctId: r.Person, Properties: r.Properties})
	case "flush":
		// What is queued leaves when a client closes; another takes its place.
		if err := client.Close(); err != nil {
			return nil, err
		}
		return open(opened)
	case "remote_config":
		return parsed(client.GetRemoteConfigPayload(r.Key))
	}
	return nil, errors.New("this program cannot " + r.Do)
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var r request
		err := json.Unmarshal(lines.Bytes(), &r)
		var a answer
		if err == nil {
			a, err = handle(r)
		}
		if err != nil {
			a = answer{"error": err.Error()}
		}
		written, _ := json.Marshal(a)
		os.Stdout.Write(append(written, '\n'))
	}
	if client != nil {
		client.Close()
	}
}
