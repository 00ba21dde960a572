// A CA on Bouncy Castle and the JDK's own HTTP server, as a peer for tests: EST (RFC 7030) by TLS and SCEP
// (RFC 8894) without. Prints `ready EST-PORT SCEP-PORT` and serves until its standard input ends.
//
//   Authority FOLDER     writes ca.pem and next.pem there; clients of TLS are known by FOLDER/ra.pem or the CA
//
// EST takes the user `ra` with the password `open sesame`, or a client certificate. The label says how it
// answers: `slow` 202 the first time, `more` adds a name, `other` another subject, `long` thirty years,
// `ca` a CA's certificate, `another` a certificate for another key, `no` 400, `down` 503,
// `late` after three seconds.
// SCEP takes the challenge `open sesame`; `wait` is pending for the first time.

import com.sun.net.httpserver.*;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.StringWriter;
import java.math.BigInteger;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.*;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.util.*;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import javax.net.ssl.*;
import org.bouncycastle.asn1.*;
import org.bouncycastle.asn1.cms.Attribute;
import org.bouncycastle.asn1.cms.AttributeTable;
import org.bouncycastle.asn1.cms.IssuerAndSerialNumber;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.*;
import org.bouncycastle.cert.*;
import org.bouncycastle.cert.jcajce.*;
import org.bouncycastle.cms.*;
import org.bouncycastle.cms.jcajce.*;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.openssl.PEMParser;
import org.bouncycastle.openssl.jcajce.JcaPEMWriter;
import org.bouncycastle.operator.jcajce.*;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;
import org.bouncycastle.pkcs.jcajce.JcaPKCS10CertificationRequest;
import org.bouncycastle.util.CollectionStore;

public final class Authority {
    static final long HOUR = 3600_000L;
    static final String USER = "Basic " + Base64.getEncoder()
            .encodeToString("ra:open sesame".getBytes(StandardCharsets.UTF_8));
    static final String VERISIGN = "2.16.840.1.113733.1.9.";

    final KeyPair key = pair();
    final X500Name name = new X500Name("CN=Elsewhere CA");
    final X509CertificateHolder ca = certificate(name, name, key.getPublic(), key.getPrivate(), -HOUR, 100 * HOUR, true, null);
    final KeyPair nextKey = pair();
    final X500Name nextName = new X500Name("CN=Elsewhere CA 2");
    final X509CertificateHolder next =
            certificate(nextName, nextName, nextKey.getPublic(), nextKey.getPrivate(), -HOUR, 100 * HOUR, true, null);
    final Map<BigInteger, X509CertificateHolder> issued = new ConcurrentHashMap<>();
    final Set<String> waited = ConcurrentHashMap.newKeySet();
    final Map<String, X509CertificateHolder> pending = new ConcurrentHashMap<>();
    BigInteger serial = BigInteger.TWO.pow(80);

    Authority() throws Exception {}

    public static void main(String[] arguments) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        Authority authority = new Authority();
        Path folder = Path.of(arguments[0]);
        write(folder.resolve("ca.pem"), authority.ca);
        write(folder.resolve("next.pem"), authority.next);
        InetSocketAddress any = new InetSocketAddress("127.0.0.1", 0);
        HttpsServer est = HttpsServer.create(any, 0);
        SSLContext tls = authority.tls(folder);
        est.setHttpsConfigurator(new HttpsConfigurator(tls) {
            @Override public void configure(HttpsParameters parameters) {
                SSLParameters wanted = tls.getDefaultSSLParameters();
                wanted.setWantClientAuth(true);
                parameters.setSSLParameters(wanted);
            }
        });
        HttpServer scep = HttpServer.create(any, 0);
        est.createContext("/.well-known/est", exchange -> authority.answer(exchange, authority::est));
        scep.createContext("/scep", exchange -> authority.answer(exchange, authority::scep));
        est.setExecutor(Executors.newFixedThreadPool(4));
        est.start();
        scep.start();
        System.out.println("ready " + est.getAddress().getPort() + " " + scep.getAddress().getPort());
        System.out.flush();
        while (System.in.read() >= 0) {}
        System.exit(0);
    }

    record Answer(int status, String type, byte[] body, String... headers) {
        static Answer text(int status, String words) {
            return new Answer(status, "text/plain", words.getBytes(StandardCharsets.UTF_8));
        }
    }

    interface Service { Answer answer(HttpExchange exchange, byte[] body) throws Exception; }

    void answer(HttpExchange exchange, Service service) throws IOException {
        byte[] body = exchange.getRequestBody().readAllBytes();
        Answer answer;
        try {
            answer = service.answer(exchange, body);
        } catch (Exception error) {
            error.printStackTrace();
            answer = Answer.text(500, String.valueOf(error));
        }
        exchange.getResponseHeaders().set("Content-Type", answer.type());
        for (int i = 0; i + 1 < answer.headers().length; i += 2) {
            exchange.getResponseHeaders().add(answer.headers()[i], answer.headers()[i + 1]);
        }
        exchange.sendResponseHeaders(answer.status(), answer.body().length == 0 ? -1 : answer.body().length);
        if (answer.body().length > 0) exchange.getResponseBody().write(answer.body());
        exchange.close();
    }

    // --- EST ---

    Answer est(HttpExchange exchange, byte[] body) throws Exception {
        String[] parts = exchange.getRequestURI().getPath().substring("/.well-known/est/".length()).split("/");
        String operation = parts[parts.length - 1], label = parts.length > 1 ? parts[0] : "";
        switch (operation) {
            case "cacerts": return pkcs7("application/pkcs7-mime", List.of(ca));
            case "csrattrs":
                byte[] attributes = new DERSequence(new ASN1ObjectIdentifier("1.2.840.10045.4.3.2")).getEncoded();
                return base64("application/csrattrs", attributes);
            case "simpleenroll": case "simplereenroll": break;
            default: return Answer.text(404, "no such operation");
        }
        if (!known(exchange, operation.equals("simplereenroll"))) {
            return new Answer(401, "text/plain", new byte[0], "WWW-Authenticate", "Basic realm=\"elsewhere\"");
        }
        var request = new JcaPKCS10CertificationRequest(Base64.getMimeDecoder().decode(body)).setProvider("BC");
        var verifier = new JcaContentVerifierProviderBuilder().setProvider("BC").build(request.getPublicKey());
        if (!request.isSignatureValid(verifier)) return Answer.text(400, "the request is forged");
        String id = HexFormat.of().formatHex(request.getSubjectPublicKeyInfo().getEncoded());
        switch (label) {
            case "slow":
                if (waited.add(id)) return new Answer(202, "text/plain", new byte[0], "Retry-After", "1");
                break;
            case "no": return Answer.text(400, "this is not for you");
            case "late": Thread.sleep(3000); break;
            case "down": return Answer.text(503, "gone for lunch");
            default: break;
        }
        X500Name subject = label.equals("other") ? new X500Name("CN=somebody else") : request.getSubject();
        long until = label.equals("long") ? 30L * 365 * 24 * HOUR : HOUR / 2;
        PublicKey of = label.equals("another") ? nextKey.getPublic() : request.getPublicKey();
        GeneralNames names = names(request);
        if (label.equals("more")) names = new GeneralNames(new GeneralName(GeneralName.dNSName, "admin.example"));
        return pkcs7("application/pkcs7-mime; smime-type=certs-only",
                List.of(issue(subject, of, until, label.equals("ca"), names)));
    }

    boolean known(HttpExchange exchange, boolean renewal) {
        try {
            SSLSession session = ((HttpsExchange) exchange).getSSLSession();
            return session.getPeerCertificates().length > 0;
        } catch (SSLPeerUnverifiedException nobody) {
            return !renewal && USER.equals(exchange.getRequestHeaders().getFirst("Authorization"));
        }
    }

    static GeneralNames names(PKCS10CertificationRequest request) {
        Extensions extensions = request.getRequestedExtensions();
        return extensions == null ? null : GeneralNames.fromExtensions(extensions, Extension.subjectAlternativeName);
    }

    static Answer base64(String type, byte[] der) {
        byte[] body = Base64.getMimeEncoder().encode(der);
        return new Answer(200, type, body, "Content-Transfer-Encoding", "base64");
    }

    static byte[] bag(List<X509CertificateHolder> certificates, List<X509CRLHolder> lists) throws Exception {
        CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
        generator.addCertificates(new CollectionStore<>(certificates));
        generator.addCRLs(new CollectionStore<>(lists));
        return generator.generate(new CMSAbsentContent()).getEncoded("DER");
    }

    static Answer pkcs7(String type, List<X509CertificateHolder> certificates) throws Exception {
        return base64(type, bag(certificates, List.of()));
    }

    // --- SCEP ---

    Answer scep(HttpExchange exchange, byte[] body) throws Exception {
        String query = String.valueOf(exchange.getRequestURI().getQuery());
        if (query.contains("operation=GetCACaps")) {
            return Answer.text(200, "AES\nPOSTPKIOperation\nRenewal\nSHA-256\nSCEPStandard\nGetNextCACert\n");
        }
        if (query.contains("operation=GetCACert")) {
            return new Answer(200, "application/x-x509-ca-cert", ca.getEncoded());
        }
        if (query.contains("operation=GetNextCACert")) {
            byte[] signed = sign(bag(List.of(next), List.of()), null).getEncoded("DER");
            return new Answer(200, "application/x-x509-next-ca-cert", signed);
        }
        if (!query.contains("operation=PKIOperation")) return Answer.text(400, "no such operation");
        CMSSignedData message = new CMSSignedData(body);
        SignerInformation signer = message.getSignerInfos().getSigners().iterator().next();
        @SuppressWarnings("unchecked")
        var by = (X509CertificateHolder) message.getCertificates().getMatches(signer.getSID()).iterator().next();
        if (!signer.verify(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(by))) {
            return Answer.text(400, "a forged message");
        }
        AttributeTable attributes = signer.getSignedAttributes();
        String kind = string(attributes, "2");
        byte[] inner = new CMSEnvelopedData((byte[]) message.getSignedContent().getContent())
                .getRecipientInfos().getRecipients().iterator().next()
                .getContent(new JceKeyTransEnvelopedRecipient(key.getPrivate()).setProvider("BC"));
        return new Answer(200, "application/x-pki-message", reply(kind, inner, by, attributes));
    }

    byte[] reply(String kind, byte[] inner, X509CertificateHolder by, AttributeTable asked) throws Exception {
        String transaction = string(asked, "7");
        switch (kind) {
            case "17": case "19": {
                var request = new JcaPKCS10CertificationRequest(inner).setProvider("BC");
                String challenge = challenge(request);
                boolean renewal = kind.equals("17") && issued.containsKey(by.getSerialNumber());
                if (!renewal && !challenge.equals("open sesame") && !challenge.equals("wait")) {
                    return said("2", null, by, asked);
                }
                var certificate = issue(request.getSubject(), request.getPublicKey(), HOUR, false, names(request));
                if (challenge.equals("wait")) {
                    pending.put(transaction, certificate);
                    return said("3", null, by, asked);
                }
                return said("0", bag(List.of(certificate), List.of()), by, asked);
            }
            case "20": {
                X509CertificateHolder certificate = pending.get(transaction);
                if (certificate == null) return said("2", null, by, asked);
                return said("0", bag(List.of(certificate), List.of()), by, asked);
            }
            case "21": {
                var wanted = IssuerAndSerialNumber.getInstance(inner);
                var certificate = issued.get(wanted.getSerialNumber().getValue());
                if (certificate == null) return said("2", null, by, asked);
                return said("0", bag(List.of(certificate), List.of()), by, asked);
            }
            case "22": {
                var builder = new X509v2CRLBuilder(name, new Date());
                builder.setNextUpdate(new Date(System.currentTimeMillis() + HOUR));
                builder.addExtension(Extension.cRLNumber, false, new CRLNumber(BigInteger.ONE));
                builder.addExtension(Extension.authorityKeyIdentifier, false,
                        new JcaX509ExtensionUtils().createAuthorityKeyIdentifier(ca));
                X509CRLHolder list = builder.build(signer(key.getPrivate()));
                return said("0", bag(List.of(), List.of(list)), by, asked);
            }
            default: return said("2", null, by, asked);
        }
    }

    byte[] said(String status, byte[] bag, X509CertificateHolder to, AttributeTable asked) throws Exception {
        ASN1EncodableVector attributes = new ASN1EncodableVector();
        attributes.add(attribute("2", new DERPrintableString("3")));
        attributes.add(attribute("3", new DERPrintableString(status)));
        if (status.equals("2")) attributes.add(attribute("4", new DERPrintableString("2")));
        attributes.add(attribute("7", asked.get(new ASN1ObjectIdentifier(VERISIGN + "7")).getAttributeValues()[0]));
        attributes.add(attribute("6", asked.get(new ASN1ObjectIdentifier(VERISIGN + "5")).getAttributeValues()[0]));
        byte[] nonce = new byte[16];
        new SecureRandom().nextBytes(nonce);
        attributes.add(attribute("5", new DEROctetString(nonce)));
        byte[] content = new byte[0];
        if (bag != null) {
            CMSEnvelopedDataGenerator generator = new CMSEnvelopedDataGenerator();
            var holder = new JcaX509CertificateConverter().setProvider("BC").getCertificate(to);
            generator.addRecipientInfoGenerator(new JceKeyTransRecipientInfoGenerator(holder).setProvider("BC"));
            var cipher = new JceCMSContentEncryptorBuilder(CMSAlgorithm.AES256_CBC).setProvider("BC").build();
            content = generator.generate(new CMSProcessableByteArray(bag), cipher).getEncoded();
        }
        return sign(content, new AttributeTable(attributes)).getEncoded("DER");
    }

    CMSSignedData sign(byte[] content, AttributeTable attributes) throws Exception {
        CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
        var digests = new JcaDigestCalculatorProviderBuilder().setProvider("BC").build();
        var builder = new JcaSignerInfoGeneratorBuilder(digests);
        if (attributes != null) {
            builder.setSignedAttributeGenerator(new DefaultSignedAttributeTableGenerator(attributes));
        }
        generator.addSignerInfoGenerator(builder.build(signer(key.getPrivate()), ca));
        generator.addCertificates(new CollectionStore<>(List.of(ca)));
        return generator.generate(new CMSProcessableByteArray(content), true);
    }

    static Attribute attribute(String number, ASN1Encodable value) {
        return new Attribute(new ASN1ObjectIdentifier(VERISIGN + number), new DERSet(value));
    }

    static String string(AttributeTable table, String number) {
        var found = table.get(new ASN1ObjectIdentifier(VERISIGN + number));
        return ((ASN1String) found.getAttributeValues()[0]).getString();
    }

    static String challenge(PKCS10CertificationRequest request) {
        var found = request.getAttributes(PKCSObjectIdentifiers.pkcs_9_at_challengePassword);
        return found.length == 0 ? "" : ((ASN1String) found[0].getAttributeValues()[0]).getString();
    }

    // --- the CA ---

    static KeyPair pair() throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("RSA");
        generator.initialize(2048);
        return generator.generateKeyPair();
    }

    static org.bouncycastle.operator.ContentSigner signer(PrivateKey key) throws Exception {
        return new JcaContentSignerBuilder("SHA256withRSA").setProvider("BC").build(key);
    }

    synchronized X509CertificateHolder issue(X500Name subject, PublicKey of, long until, boolean isCa, GeneralNames names)
            throws Exception {
        X509CertificateHolder made = certificate(name, subject, of, key.getPrivate(), -60_000, until, isCa, names);
        issued.put(made.getSerialNumber(), made);
        return made;
    }

    X509CertificateHolder certificate(X500Name issuer, X500Name subject, PublicKey of, PrivateKey by, long from,
            long until, boolean isCa, GeneralNames names) throws Exception {
        if (serial == null) serial = BigInteger.TWO.pow(80);
        serial = serial.add(BigInteger.ONE);
        long now = System.currentTimeMillis();
        var builder = new JcaX509v3CertificateBuilder(issuer, serial, new Date(now + from), new Date(now + until), subject, of);
        var tools = new JcaX509ExtensionUtils();
        builder.addExtension(Extension.basicConstraints, true, isCa ? new BasicConstraints(true) : new BasicConstraints(false));
        int usage = isCa ? KeyUsage.keyCertSign | KeyUsage.cRLSign | KeyUsage.digitalSignature | KeyUsage.keyEncipherment
                : KeyUsage.digitalSignature | KeyUsage.keyEncipherment;
        builder.addExtension(Extension.keyUsage, true, new KeyUsage(usage));
        builder.addExtension(Extension.subjectKeyIdentifier, false, tools.createSubjectKeyIdentifier(of));
        if (ca != null) builder.addExtension(Extension.authorityKeyIdentifier, false, tools.createAuthorityKeyIdentifier(ca));
        if (names != null) builder.addExtension(Extension.subjectAlternativeName, false, names);
        return builder.build(signer(by));
    }

    // --- TLS ---

    SSLContext tls(Path folder) throws Exception {
        KeyPair own = pair();
        GeneralNames here = new GeneralNames(new GeneralName(GeneralName.iPAddress, "127.0.0.1"));
        var holder = issue(new X500Name("CN=Elsewhere EST"), own.getPublic(), 90 * HOUR, false, here);
        var converter = new JcaX509CertificateConverter().setProvider("BC");
        X509Certificate[] chain = {converter.getCertificate(holder), converter.getCertificate(ca)};
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        store.setKeyEntry("est", own.getPrivate(), "".toCharArray(), chain);
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(store, "".toCharArray());
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), new TrustManager[] {new Clients(folder)}, null);
        return context;
    }

    // Whom the CA has certified, and the registration authority that it was told of.
    final class Clients extends X509ExtendedTrustManager {
        final Path folder;
        Clients(Path folder) { this.folder = folder; }
        void check(X509Certificate[] chain) throws CertificateException {
            try {
                Path ra = folder.resolve("ra.pem");
                if (Files.exists(ra)) {
                    var told = (X509CertificateHolder) new PEMParser(Files.newBufferedReader(ra)).readObject();
                    if (Arrays.equals(told.getEncoded(), chain[0].getEncoded())) return;
                }
                chain[0].verify(key.getPublic(), "BC");
            } catch (CertificateException error) {
                throw error;
            } catch (Exception error) {
                throw new CertificateException(error);
            }
        }
        @Override public void checkClientTrusted(X509Certificate[] c, String a) throws CertificateException { check(c); }
        @Override public void checkClientTrusted(X509Certificate[] c, String a, java.net.Socket s) throws CertificateException { check(c); }
        @Override public void checkClientTrusted(X509Certificate[] c, String a, SSLEngine e) throws CertificateException { check(c); }
        @Override public void checkServerTrusted(X509Certificate[] c, String a) throws CertificateException { throw new CertificateException(); }
        @Override public void checkServerTrusted(X509Certificate[] c, String a, java.net.Socket s) throws CertificateException { throw new CertificateException(); }
        @Override public void checkServerTrusted(X509Certificate[] c, String a, SSLEngine e) throws CertificateException { throw new CertificateException(); }
        @Override public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
    }

    static void write(Path path, X509CertificateHolder holder) throws Exception {
        StringWriter text = new StringWriter();
        try (JcaPEMWriter writer = new JcaPEMWriter(text)) { writer.writeObject(holder); }
        Files.writeString(path, text.toString());
    }
}
