// The ofrep artifact of dev.openfeature.contrib.providers under remote control; see toolchains.py.
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import dev.openfeature.contrib.providers.ofrep.OfrepProvider;
import dev.openfeature.contrib.providers.ofrep.OfrepProviderOptions;
import dev.openfeature.sdk.Client;
import dev.openfeature.sdk.FlagEvaluationDetails;
import dev.openfeature.sdk.MutableContext;
import dev.openfeature.sdk.OpenFeatureAPI;
import dev.openfeature.sdk.Value;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

public final class OfrepProgram {
    private static final Gson GSON = new GsonBuilder().serializeNulls().create();

    static final class Request {
        String host, token, kind, key, person;
        Object otherwise;
        Map<String, Object> properties = Map.of();
    }

    public static void main(String[] arguments) throws Exception {
        // Libraries may log to standard output, which belongs to the answers.
        PrintStream answers = System.out;
        System.setOut(System.err);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            Map<String, Object> answer;
            try {
                String doing = String.valueOf(GSON.fromJson(line, Map.class).get("do"));
                Request request = GSON.fromJson(line, Request.class);
                answer = doing.equals("open") ? open(request) : value(request);
            } catch (RuntimeException error) {
                answer = Map.of("error", String.valueOf(error));
            }
            answers.println(GSON.toJson(answer));
            answers.flush();
        }
        OpenFeatureAPI.getInstance().shutdown();
        System.exit(0);
    }

    private static Map<String, Object> open(Request request) {
        OfrepProviderOptions options = OfrepProviderOptions.builder()
                .baseUrl(request.host)
                .headers(ImmutableMap.of("Authorization", ImmutableList.of("Bearer " + request.token)))
                .build();
        OpenFeatureAPI.getInstance().setProviderAndWait(OfrepProvider.constructProvider(options));
        return Map.of();
    }

    private static Map<String, Object> value(Request request) {
        Client client = OpenFeatureAPI.getInstance().getClient();
        MutableContext context = new MutableContext(request.person);
        request.properties.forEach((name, value) -> context.add(name, String.valueOf(value)));
        FlagEvaluationDetails<?> details;
        Object value;
        switch (request.kind) {
            case "boolean":
                details = client.getBooleanDetails(request.key, (Boolean) request.otherwise, context);
                value = details.getValue();
                break;
            case "string":
                details = client.getStringDetails(request.key, (String) request.otherwise, context);
                value = details.getValue();
                break;
            case "integer":
                details = client.getIntegerDetails(request.key, ((Number) request.otherwise).intValue(), context);
                value = details.getValue();
                break;
            default:
                Value otherwise = Value.objectToValue(request.otherwise);
                details = client.getObjectDetails(request.key, otherwise, context);
                value = ((Value) details.getValue()).asStructure().asObjectMap();
        }
        Map<String, Object> answer = new LinkedHashMap<>();
        answer.put("value", value);
        answer.put("variant", details.getVariant());
        answer.put("reason", details.getReason());
        answer.put("failure", details.getErrorCode() == null ? null : details.getErrorCode().name());
        answer.put("status", details.getFlagMetadata().getString("status"));
        return answer;
    }
}
