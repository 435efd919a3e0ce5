// The posthog-server artifact under remote control; see toolchains.py.
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.posthog.server.PostHog;
import com.posthog.server.PostHogCaptureOptions;
import com.posthog.server.PostHogConfig;
import com.posthog.server.PostHogFeatureFlagOptions;
import com.posthog.server.PostHogInterface;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

public final class PosthogProgram {
    private static final Gson GSON = new GsonBuilder().serializeNulls().create();
    private static PostHogInterface client;

    static final class Request {
        String host, token, secret, key, person, event;
        int poll_ms;
        Map<String, Object> properties = Map.of();
    }

    public static void main(String[] arguments) throws Exception {
        // The SDK logs to standard output, which belongs to the answers.
        PrintStream answers = System.out;
        System.setOut(System.err);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            Map<String, Object> answer;
            try {
                String doing = String.valueOf(GSON.fromJson(line, Map.class).get("do"));
                answer = handle(doing, GSON.fromJson(line, Request.class));
            } catch (RuntimeException error) {
                answer = Map.of("error", String.valueOf(error));
            }
            answers.println(GSON.toJson(answer));
            answers.flush();
        }
        if (client != null) client.close();
        System.exit(0);
    }

    private static Map<String, Object> handle(String doing, Request request) {
        switch (doing) {
            case "open":
                return open(request);
            case "flag":
                return valued(client.getFeatureFlag(request.person, request.key, asked(request)));
            case "payload":
                return valued(client.getFeatureFlagPayload(request.person, request.key, asked(request)));
            case "capture":
                client.capture(
                        request.person,
                        request.event,
                        PostHogCaptureOptions.builder().properties(request.properties).build());
                return Map.of();
            case "flush":
                client.flush();
                return Map.of();
            default:
                throw new IllegalArgumentException("this program cannot " + doing);
        }
    }

    private static Map<String, Object> open(Request request) {
        PostHogConfig config = PostHogConfig.builder(request.token)
                .host(request.host)
                .featureFlagCacheMaxAgeMs(1)
                .localEvaluation(request.secret != null)
                .personalApiKey(request.secret)
                .pollIntervalSeconds(Math.max(1, request.poll_ms / 1000))
                .build();
        client = PostHog.with(config);
        return Map.of();
    }

    private static PostHogFeatureFlagOptions asked(Request request) {
        return PostHogFeatureFlagOptions.builder().personProperties(request.properties).build();
    }

    private static Map<String, Object> valued(Object value) {
        Map<String, Object> answer = new HashMap<>();
        answer.put("value", value);
        return answer;
    }
}
