import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** Sends one event. Sending it again does no harm: its source and id say that it is the same. */
public class Publish {
    static final String EVENT = """
        {
          "specversion": "1.0",
          "id": "R-220305-1184",
          "type": "yuekang.nat-result.reported.v1",
          "source": "/laboratories/440100-001",
          "time": "2022-03-05T20:41:07+08:00",
          "sequence": "90414",
          "data": {
            "document": {"type": "resident-identity-card", "number": "11010519491231002X"},
            "sampled_at": "2022-03-05T09:12:00+08:00",
            "reported_at": "2022-03-05T20:40:00+08:00",
            "result": "negative",
            "institution": "Haizhu Testing Laboratory 3",
            "status": "final"
          }
        }
        """;

    public static void main(String[] arguments) throws Exception {
        HttpRequest request = HttpRequest.newBuilder()
            .uri(URI.create(System.getenv("YUEKANG_GATEWAY") + "/v1/events"))
            .header("Authorization", "Bearer " + System.getenv("YUEKANG_TOKEN"))
            .header("Content-Type", "application/cloudevents+json")
            .POST(HttpRequest.BodyPublishers.ofString(EVENT))
            .build();
        HttpResponse<String> answer =
            HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(answer.statusCode() + " " + answer.body());
        System.exit(answer.statusCode() == 202 ? 0 : 1);
    }
}
